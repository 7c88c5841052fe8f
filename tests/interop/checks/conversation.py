"""Two people, two programs, one server."""
from harness.client import NotSeen
from harness.driven import TokioXmpp, XmppJs
from harness.slix import Slixmpp

from . import check

LINES = ["But soft, what light", "<b>&amp; \"quotes\" 'and' ]]> more</b>", "Ромео, ロミオ, 🌹👩‍👩‍👧", "a\nb\tc", "x" * 60_000]


async def _converse(romeo, juliet):
    async with romeo, juliet:
        for line in LINES:
            await romeo.say(juliet.jid, line)
            await juliet.hears(line)
            await juliet.say(romeo.jid, line)
            await romeo.hears(line)
        assert romeo.bodies() == juliet.bodies() == LINES
    return f"{len(LINES)} messages each way between {romeo} and {juliet}"


@check
async def slixmpp_starttls_and_xmppjs_direct_tls(stage):
    """slixmpp over STARTTLS and @xmpp/client over direct TLS talk, with odd characters and long lines."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    return await _converse(Slixmpp(stage.server, romeo, "orchard"), XmppJs(stage.server, juliet, "balcony", direct=True))


@check
async def slixmpp_direct_tls_and_xmppjs_starttls(stage):
    """slixmpp over direct TLS and @xmpp/client over STARTTLS talk."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    return await _converse(Slixmpp(stage.server, romeo, "orchard", direct=True), XmppJs(stage.server, juliet, "balcony"))


@check
async def a_wrong_certificate_is_refused(stage):
    """Clients that trust another authority refuse the server: what passes here was really verified."""
    romeo, = await stage.accounts("romeo")
    stranger = stage.server.certificates.stranger
    for Program in (Slixmpp, XmppJs, TokioXmpp):
        client = Program(stage.server, romeo, "orchard", ca=stranger)
        try:
            if isinstance(client, Slixmpp):
                client.connect()
            else:
                await client.launch()
            await client._until(lambda: _complains(client), "that the certificate is unknown", 10)
            assert "online" not in client.events
        finally:
            await client.stop()
    return "refused by all three"


def _complains(client):
    words = ("ssl_invalid_chain", "connection_failed", "unable to verify", "UnknownIssuer")
    return next((event for event in client.events if any(word in event for word in words)), None)


@check
async def a_wrong_password_is_refused(stage):
    """A wrong password and an unknown user get the same answer."""
    from dataclasses import replace
    romeo, = await stage.accounts("romeo")
    for account in (replace(romeo, password="another"), replace(romeo, jid="nobody@localhost")):
        client = Slixmpp(stage.server, account, "orchard")
        client.connect()
        try:
            await client.experiences("failed_auth")
            assert "online" not in client.events
        finally:
            await client.stop()
