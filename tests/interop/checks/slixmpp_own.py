"""slixmpp's own integration tests, all but those whose features the server does not have yet."""
import asyncio
import json
import os
import sys
from pathlib import Path

from harness import processes
from harness.server import DOMAIN
from harness.slix import Slixmpp

from . import check
from .contacts import befriend

HERE = Path(__file__).parent.parent
# These insist on the standard ports.
ON_STANDARD_PORTS = {f"test_tls_check.TestTLS.test_connect_{way}" for way in ("custom", "direct_tls", "starttls")}


@check(seconds=400)
async def the_integration_tests_of_slixmpp(stage):
    """slixmpp's own integration tests pass, all but those that known-failures.txt lists with its reason."""
    server, known = stage.server, _known_failures()
    accounts = await stage.accounts("slix1", "slix2")
    # Its test of last activity asks somebody who must be a contact for that (XEP-0012 section 4).
    async with Slixmpp(server, accounts[0], "first") as first, Slixmpp(server, accounts[1], "second") as second:
        await befriend(first, second)
    # The second is for what it does over HTTP: whom OpenSSL trusts.
    environment = {**os.environ, "CI_MUC_SERVER": f"conference.{DOMAIN}",
                   "SSL_CERT_FILE": str(server.certificates.ca)}
    for number, account in enumerate(accounts, 1):
        environment |= {f"CI_ACCOUNT{number}": account.jid, f"CI_ACCOUNT{number}_PASSWORD": account.password}
    tests = await processes.start_piped(
        sys.executable, "-B", HERE / "slixmpp_own.py", server.address, str(server.starttls), str(server.direct),
        DOMAIN, str(server.certificates.ca), *known, env=environment)
    results = {}
    while line := await tests.stdout.readline():
        told = json.loads(line)
        results[told["test"]] = told
        if told["result"] != "pass":
            print(f"    {told['result']} {told['test']}: {known.get(told['test'], told['why'])}", flush=True)
    await tests.wait()
    return _judge(results, known, server.standard_ports)


def _judge(results, known, standard_ports):
    excused = set() if standard_ports else ON_STANDARD_PORTS
    by = {result: {name for name, told in results.items() if told["result"] == result}
          for result in ("pass", "fail", "skip")}
    wrong = [f"{name}: {results[name]['why']}" for name in sorted(by["fail"] - known.keys() - excused)]
    wrong += [f"{name} passes now: take it from known-failures.txt" for name in sorted(by["pass"] & known.keys())]
    wrong += [f"{name} of known-failures.txt was not run" for name in sorted(known.keys() - results.keys())]
    if not by["pass"]:
        wrong.append("no test passed")
    assert not wrong, "\n      ".join(["", *wrong])
    said = f"{len(by['pass'])} of {len(results)} pass, {len(by['fail'])} fail as known, {len(by['skip'])} are skipped"
    return said + (f"; {len(by['fail'] & excused)} of these only because 5222 and 5223 are taken" if excused else "")


def _known_failures():
    """The file's lines are TEST, two spaces or more, REASON."""
    known = {}
    for line in (HERE / "known-failures.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            test, _, reason = line.partition("  ")
            known[test] = reason.strip()
    return known
