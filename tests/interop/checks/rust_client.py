"""tokio-xmpp: it binds its login to the TLS channel."""
from harness.driven import TokioXmpp
from harness.slix import Slixmpp

from . import check


async def _converse_bound(stage, direct):
    romeo, juliet = await stage.accounts("romeo", "juliet")
    server = stage.server
    def bound():
        return server.metric("meerkat_logins_total", mechanism="SCRAM-SHA-256-PLUS", result="success")
    before = bound()
    async with TokioXmpp(server, romeo, "orchard", direct=direct) as orchard:
        assert bound() == before + 1, "the login was not bound to the channel"
        logged = [line for line in server.log_text().splitlines() if f"jid={orchard.jid}" in line]
        assert any('mechanism="SCRAM-SHA-256-PLUS"' in line for line in logged), logged
        async with Slixmpp(server, juliet, "balcony") as balcony:
            for line in ("But soft", "<&> 🌹", "a\nb"):
                await orchard.say(balcony.jid, line)
                await balcony.hears(line)
                await balcony.say(orchard.jid, line)
                await orchard.hears(line)
    return f"SCRAM-SHA-256-PLUS in the metrics and in the log; 3 messages each way between {orchard} and {balcony}"


@check
async def tokio_xmpp_with_channel_binding_over_starttls(stage):
    """tokio-xmpp logs in with SCRAM-SHA-256-PLUS (tls-exporter) after STARTTLS, and talks with slixmpp."""
    return await _converse_bound(stage, direct=False)


@check
async def tokio_xmpp_with_channel_binding_over_direct_tls(stage):
    """The same over direct TLS."""
    return await _converse_bound(stage, direct=True)
