"""Archives (XEP-0313): slixmpp and @xmpp/client read a conversation page by page, from either end."""
from slixmpp import JID

from harness.driven import XmppJs
from harness.slix import Slixmpp
from harness.stanzas import CLIENT, FORWARD

from . import check

MAM = "{urn:xmpp:mam:2}"
RSM = "{http://jabber.org/protocol/rsm}"
PAGE = 50
LINES = [f"archived {number}" for number in range(120)]


@check(seconds=60)
async def an_archive_is_read_in_pages(stage):
    """Romeo writes to Juliet, who is not there. He reads his archive with slixmpp, forwards and backwards; she reads
    hers with @xmpp/client, and only then shows that she is there."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    async with Slixmpp(stage.server, romeo, "orchard") as orchard:
        orchard.xmpp.register_plugin("xep_0313")
        for line in LINES:
            await orchard.say(juliet.jid, line)
        await orchard.ask("get", "<ping xmlns='urn:xmpp:ping'/>")
        assert await _by_slixmpp(orchard, juliet) == LINES
        assert await _by_slixmpp(orchard, juliet, reverse=True) == LINES[::-1]
        assert await _by_slixmpp(orchard, romeo) == []
    async with XmppJs(stage.server, juliet, "balcony") as balcony:
        pages = [page async for page in _by_xmppjs(balcony, "")]
        assert [len(page) for page in pages] == [50, 50, 20], pages
        assert sum(pages, []) == LINES
        # What she read is not given to her a second time (messages that waited).
        await balcony.appear()
        await balcony.ask("get", "<ping xmlns='urn:xmpp:ping'/>")
        assert balcony.bodies() == [], balcony.bodies()
    return f"{len(LINES)} messages in pages of {PAGE}, by both programs"


async def _by_slixmpp(client, contact, reverse=False):
    archive = client.xmpp["xep_0313"].iterate(with_jid=JID(contact.jid), reverse=reverse, rsm={"max": PAGE})
    return [message["mam_result"]["forwarded"]["stanza"]["body"] async for message in archive]


async def _by_xmppjs(client, after):
    """XEP-0059, section 2.2: behind the last of each page comes the next."""
    while True:
        seen = len(client.stanzas)
        fin = await client.ask("set", f"<query xmlns='urn:xmpp:mam:2'><set xmlns='{RSM[1:-1]}'><max>{PAGE}</max>{after}"
                                      "</set></query>")
        fin = fin.xml.find(f"{MAM}fin")
        results = [stanza.xml.find(f"{MAM}result/{FORWARD}forwarded/{CLIENT}message/{CLIENT}body")
                   for stanza in client.stanzas[seen:] if stanza.name == "message"]
        yield [body.text for body in results if body is not None]
        if fin.get("complete") == "true":
            return
        after = f"<after>{fin.findtext(f'{RSM}set/{RSM}last')}</after>"
