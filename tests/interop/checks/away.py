"""Messages for those who are away (XEP-0160), and a server that goes and comes back."""
import signal
from datetime import datetime, timezone

from harness.client import Client
from harness.driven import XmppJs
from harness.server import DOMAIN
from harness.slix import Slixmpp

from . import check

LINES = [f"while you were away, {n}" for n in range(1, 6)]


async def _reads(client: Client, begun):
    """Everything that waited, in order, each with the time of its arrival at the server."""
    async with client:
        await client.appear()
        await client.hears(LINES[-1])
        waited = [s for s in client.stanzas if s.body in LINES]
        assert [s.body for s in waited] == LINES, client.bodies()
        for stanza in waited:
            assert stanza.delay, f"without a delay: {stanza}"
            stamp, author = stanza.delay
            assert author == DOMAIN, stamp
            at = datetime.fromisoformat(stamp)
            assert begun <= at <= datetime.now(timezone.utc), stamp


async def _finds_nothing(client: Client):
    async with client:
        await client.appear()
        await client.ask("get", "<ping xmlns='urn:xmpp:ping'/>")
        assert client.bodies() == [], client.bodies()


def _now():
    return datetime.now(timezone.utc).replace(microsecond=0)


@check
async def offline_messages_for_xmppjs(stage):
    """What slixmpp sends to somebody away comes to @xmpp/client at its login: once, in order, with a delay."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    begun = _now()
    async with Slixmpp(stage.server, romeo, "orchard") as orchard:
        for line in LINES:
            await orchard.say(juliet.jid, line)
        await orchard.ask("get", "<ping xmlns='urn:xmpp:ping'/>")
    await _reads(XmppJs(stage.server, juliet, "balcony"), begun)
    await _finds_nothing(XmppJs(stage.server, juliet, "balcony"))
    await _finds_nothing(Slixmpp(stage.server, juliet, "chamber"))


@check
async def offline_messages_for_slixmpp(stage):
    """The same the other way round."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    begun = _now()
    async with XmppJs(stage.server, romeo, "orchard") as orchard:
        for line in LINES:
            await orchard.say(juliet.jid, line)
        await orchard.ask("get", "<ping xmlns='urn:xmpp:ping'/>")
    await _reads(Slixmpp(stage.server, juliet, "balcony"), begun)
    await _finds_nothing(Slixmpp(stage.server, juliet, "balcony"))


@check
async def a_killed_server_keeps_what_it_acknowledged(stage):
    """Messages wait; the server is killed with SIGKILL and started again; they are read."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    begun = _now()
    async with Slixmpp(stage.server, romeo, "orchard", resumes=True) as orchard:
        for line in LINES:
            last = await orchard.say(juliet.jid, line)
        await orchard.acknowledged(last)
        stage.server.stop(signal.SIGKILL)
    stage.server.start()
    await _reads(Slixmpp(stage.server, juliet, "balcony"), begun)


@check
async def a_stopped_server_says_so_and_clients_come_back(stage):
    """SIGTERM: every stream ends with `system-shutdown`, the exit code is 0; @xmpp/client comes back by itself."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    async with Slixmpp(stage.server, romeo, "orchard") as orchard, XmppJs(stage.server, juliet, "balcony") as balcony:
        await balcony.appear()
        code = stage.server.stop()
        assert code == 0, f"exit code {code}"
        await orchard.experiences("stream_error")
        await balcony._until(lambda: [e for e in balcony.events if "system-shutdown" in e], "system-shutdown", 10)
        stage.server.start()
        await balcony.experiences("online", count=2)
        await balcony.appear()
        orchard.connect()
        await orchard.experiences("online", count=2)
        await orchard.say(juliet.jid, "again")
        await balcony.hears("again")
