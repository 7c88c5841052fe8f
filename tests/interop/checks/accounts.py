"""Accounts by in-band registration (XEP-0077), with slixmpp, and what meerkatctl sees of them."""
from dataclasses import replace

from harness.registration import register
from harness.server import DOMAIN
from harness.slix import Slixmpp

from . import check


@check
async def an_account_from_its_beginning_to_its_end(stage):
    """slixmpp registers an account, logs in, changes its password, logs in with the new one only, and removes the
    account."""
    romeo, server = stage.no_account_yet("romeo"), stage.server
    changed = replace(romeo, password="a new secret ✓")
    server.passwords.append(changed.password)
    await register(server, romeo)
    async with Slixmpp(server, romeo, "orchard") as orchard:
        sessions = await server.control("session", "listSessions")
        assert orchard.jid in sessions, sessions
        answer = await orchard.ask("set", f"<query xmlns='jabber:iq:register'><username>{romeo.user}</username>"
                                          f"<password>{changed.password}</password></query>", to=DOMAIN)
        assert answer.type == "result", answer
    await _refused(Slixmpp(server, romeo, "orchard"))
    async with Slixmpp(server, changed, "orchard") as orchard:
        await orchard.ask("set", "<query xmlns='jabber:iq:register'><remove/></query>", to=DOMAIN)
        await orchard.experiences("disconnected")
    await _refused(Slixmpp(server, changed, "orchard"))
    assert romeo.jid not in await server.control("account", "listUsers", "--domain", DOMAIN)


async def _refused(client):
    client.connect()
    try:
        await client.experiences("failed_auth")
        assert "online" not in client.events
    finally:
        await client.stop()
