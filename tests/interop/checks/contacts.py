"""Rosters, subscriptions and presence (RFC 6121)."""
from harness.driven import XmppJs
from harness.slix import Slixmpp

from . import check

ROSTER = "{jabber:iq:roster}"


async def befriend(romeo, juliet):
    """Each asks, each approves; both are online. Only who asked for the roster hears of approvals (RFC 6121
    section 3.1.6)."""
    for one in (romeo, juliet):
        await _items(one)
        await one.appear()
    await romeo.appear(to=juliet.account.jid, type="subscribe")
    asked = await juliet.sees_presence(romeo.account.jid, "subscribe")
    assert asked.sender == romeo.account.jid, "a request comes from the bare address"
    await juliet.appear(to=romeo.account.jid, type="subscribed")
    await romeo.sees_presence(juliet.account.jid, "subscribed")
    await juliet.appear(to=romeo.account.jid, type="subscribe")
    await romeo.sees_presence(juliet.account.jid, "subscribe")
    await romeo.appear(to=juliet.account.jid, type="subscribed")
    await juliet.sees_presence(romeo.account.jid, "subscribed")
    await romeo.sees_presence(juliet.jid)
    await juliet.sees_presence(romeo.jid)


async def _items(client):
    """The roster that the server has now: address -> subscription."""
    answer = await client.ask("get", "<query xmlns='jabber:iq:roster'/>")
    return {item.get("jid"): item.get("subscription") for item in answer.xml.iter(f"{ROSTER}item")}


async def _pushed(client, jid, subscription):
    def is_it(stanza):
        item = stanza.xml.find(f"{ROSTER}query/{ROSTER}item")
        return (stanza.name == "iq" and stanza.type == "set" and item is not None
                and (item.get("jid"), item.get("subscription")) == (jid, subscription))
    return await client.sees(is_it, f"a roster push of {jid} as {subscription!r}")


@check
async def subscription_both_ways(stage):
    """Romeo (slixmpp) and Juliet (@xmpp/client) ask and approve each other; rosters, pushes and presence follow,
    and end when the subscription ends."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    async with Slixmpp(stage.server, romeo, "orchard") as orchard, XmppJs(stage.server, juliet, "balcony") as balcony:
        await orchard.xmpp.get_roster()
        assert await _items(balcony) == {}
        await befriend(orchard, balcony)
        await _pushed(orchard, juliet.jid, "both")
        await _pushed(balcony, romeo.jid, "both")
        assert await _items(orchard) == {juliet.jid: "both"}
        assert await _items(balcony) == {romeo.jid: "both"}
        # slixmpp's own book of it.
        assert orchard.xmpp.client_roster[juliet.jid]["subscription"] == "both"
        assert "balcony" in orchard.xmpp.client_roster.presence(juliet.jid)

        await balcony.appear(show="away")
        await orchard.sees_presence(balcony.jid, show="away")
        await orchard.appear(show="dnd")
        await balcony.sees_presence(orchard.jid, show="dnd")

        answer = await balcony.ask(
            "set", f"<query xmlns='jabber:iq:roster'><item jid='{romeo.jid}' subscription='remove'/></query>")
        assert answer.type == "result"
        await orchard.sees_presence(balcony.jid, "unavailable")
        await balcony.sees_presence(orchard.jid, "unavailable")
        await _pushed(orchard, juliet.jid, "none")
        await _pushed(balcony, romeo.jid, "remove")
        assert await _items(balcony) == {}
        assert await _items(orchard) == {juliet.jid: "none"}


@check
async def presence_of_those_who_come_and_go(stage):
    """A contact who logs in later gets presence at once; one who leaves, or whose program is killed, is
    unavailable for the others, once."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    async with Slixmpp(stage.server, romeo, "orchard") as orchard:
        async with XmppJs(stage.server, juliet, "balcony") as balcony:
            await befriend(orchard, balcony)
        await orchard.sees_presence(balcony.jid, "unavailable")

        mark = len(orchard.stanzas)
        chamber = Slixmpp(stage.server, juliet, "chamber", direct=True)
        await chamber.start()
        await chamber.appear()
        await chamber.sees_presence(orchard.jid)
        await orchard.sees_presence(chamber.jid)
        # No stream management there: its end is known at once.
        chamber.xmpp.abort()
        await orchard.sees_presence(chamber.jid, "unavailable")
        gone = [s for s in orchard.stanzas[mark:] if s.name == "presence" and s.type == "unavailable"]
        assert len(gone) == 1, gone


@check
async def a_request_waits_for_who_is_away(stage):
    """A subscription request to somebody away comes at each login until it is answered."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    async with Slixmpp(stage.server, romeo, "orchard") as orchard:
        await orchard.xmpp.get_roster()
        await orchard.appear()
        orchard.xmpp.send_presence_subscription(pto=juliet.jid, ptype="subscribe")
        await _pushed(orchard, juliet.jid, "none")
        for _ in range(2):
            async with XmppJs(stage.server, juliet, "balcony") as balcony:
                await balcony.appear()
                await balcony.sees_presence(romeo.jid, "subscribe")
        async with XmppJs(stage.server, juliet, "balcony") as balcony:
            await balcony.appear()
            await balcony.sees_presence(romeo.jid, "subscribe")
            await balcony.appear(to=romeo.jid, type="subscribed")
            await orchard.sees_presence(juliet.jid, "subscribed")
        async with XmppJs(stage.server, juliet, "balcony") as balcony:
            await balcony.appear()
            await balcony.ask("get", "<ping xmlns='urn:xmpp:ping'/>")
            assert not any(s.type == "subscribe" for s in balcony.stanzas)
