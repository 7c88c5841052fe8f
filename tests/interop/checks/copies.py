"""Carbons (XEP-0280): what one of a person's programs says or hears, the others see too."""
import asyncio

from harness.driven import XmppJs
from harness.slix import Slixmpp

from . import check

ENABLE = "<enable xmlns='urn:xmpp:carbons:2'/>"


@check
async def carbons_between_two_programs_of_one_person(stage):
    """Romeo's slixmpp and his @xmpp/client each see what the other sends and receives, once."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    async with (Slixmpp(stage.server, romeo, "phone") as phone, XmppJs(stage.server, romeo, "desk") as desk,
                Slixmpp(stage.server, juliet, "balcony") as balcony):
        for client in (phone, desk, balcony):
            await client.appear()
        await phone.xmpp["xep_0280"].enable()
        assert (await desk.ask("set", ENABLE)).type == "result"

        await balcony.say(phone.jid, "to the phone")
        await phone.hears("to the phone")
        assert (await desk.hears("to the phone", carbon="received")).sender == balcony.jid
        await balcony.say(desk.jid, "to the desk")
        await desk.hears("to the desk")
        await phone.hears("to the desk", carbon="received")

        await phone.say(juliet.jid, "from the phone")
        await balcony.hears("from the phone")
        assert (await desk.hears("from the phone", carbon="sent")).sender == phone.jid
        await desk.say(balcony.jid, "from the desk")
        await balcony.hears("from the desk")
        await phone.hears("from the desk", carbon="sent")

        # To the bare address: each gets the message itself, and nobody a copy of it.
        await balcony.say(romeo.jid, "to both")
        for client in (phone, desk):
            await client.hears("to both")
        await _settle(phone, desk, balcony)
        assert phone.bodies() == ["to the phone", "to both"], phone.bodies()
        assert desk.bodies() == ["to the desk", "to both"], desk.bodies()
        assert phone.bodies("received") + phone.bodies("sent") == ["to the desk", "from the desk"]
        assert desk.bodies("received") + desk.bodies("sent") == ["to the phone", "from the phone"]
        # slixmpp itself took them for what they are.
        assert {"carbon_received", "carbon_sent"} <= set(phone.events)
        assert balcony.bodies() == ["from the phone", "from the desk"]


@check
async def carbons_do_not_copy_what_is_private(stage):
    """Without `<enable/>` there are no copies, nor with `<private/>`, nor after `<disable/>`."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    async with (XmppJs(stage.server, romeo, "phone") as phone, XmppJs(stage.server, romeo, "desk") as desk,
                Slixmpp(stage.server, juliet, "balcony") as balcony):
        for client in (phone, desk, balcony):
            await client.appear()
        await balcony.say(phone.jid, "before")
        await phone.hears("before")
        assert (await desk.ask("set", ENABLE)).type == "result"
        await balcony.send(f"<message xmlns='jabber:client' to='{phone.jid}' type='chat' id='p1'><body>private</body>"
                           "<private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/></message>")
        await phone.hears("private")
        assert (await desk.ask("set", "<disable xmlns='urn:xmpp:carbons:2'/>")).type == "result"
        await balcony.say(phone.jid, "after")
        await phone.hears("after")
        await _settle(phone, desk)
        assert desk.bodies("received") == [], desk.bodies("received")
        assert phone.bodies() == ["before", "private", "after"]


async def _settle(*clients):
    """What was on its way has arrived: an answer comes behind it."""
    await asyncio.gather(*(client.ask("get", "<ping xmlns='urn:xmpp:ping'/>") for client in clients))
