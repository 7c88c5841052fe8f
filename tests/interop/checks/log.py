"""What the operator saw of all this: runs last."""
import re

from harness.client import Client

from . import check


@check
async def the_log_tells_sessions_and_no_secrets(stage):
    """At level info the log has a line for each session that begins, one for each that is resumed and one for each
    that ends; it has neither a password nor the body of a message, and no warning and no error."""
    server = stage.server
    log = server.log_text()
    for secret in [*server.passwords, *(body for body in Client.said if len(body) > 10)]:
        assert secret not in log, f"the log has {secret!r}"
    lines = log.splitlines()
    troubles = [line for line in lines if re.search(r" (WARN|ERROR) |panicked", line)]
    assert not troubles, troubles
    # Since the last start: what a killed server began it could not end.
    start = max(n for n, line in enumerate(lines) if line.startswith("Meerkat "))
    began, resumed, ended = (sum(words in line for line in lines[start:]) for words in (
        "resumed=false", "resumed=true", "session ended"))
    left = server.metric("meerkat_sessions")
    assert began - ended == left, f"{began} began, {ended} ended, but {left:.0f} are left"
    return f"since the last start {began} sessions began, {resumed} were resumed, {ended} ended, {left:.0f} are left"
