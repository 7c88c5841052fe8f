"""Stream management (XEP-0198): the network goes away and comes back, and nobody misses or doubles a line.

The client reaches the server through a proxy of the tests, which takes the connection from it.
"""
import asyncio
import random

from harness.driven import TokioXmpp, XmppJs
from harness.proxy import Proxy
from harness.slix import Slixmpp

from . import check


def _wanderer(Program, server, account, proxy):
    """Romeo, whose network is unreliable."""
    if Program is Slixmpp:
        client = Slixmpp(server, account, "street", resumes=True, port=proxy.port)
        client.come_back_when_disconnected()
        return client, "session_resumed"
    return Program(server, account, "street", port=proxy.port), "resumed"


async def _cut_and_resume(stage, Program):
    romeo, juliet = await stage.accounts("romeo", "juliet")
    server = stage.server
    async with Proxy(server.address, server.starttls) as proxy:
        wanderer, resumed = _wanderer(Program, server, romeo, proxy)
        async with wanderer, Slixmpp(server, juliet, "balcony") as balcony:
            await wanderer.appear()
            await balcony.appear()
            await _both_say(wanderer, balcony, "before")
            await _all_heard(wanderer, balcony, ["before"])

            # First nothing passes any more, and neither side knows; then the connection is gone.
            proxy.freeze()
            await _both_say(wanderer, balcony, "meanwhile")
            await asyncio.sleep(0.5)
            proxy.take_down()
            await asyncio.sleep(0.5)
            proxy.bring_up()
            await wanderer.experiences(resumed, patience=20)
            await _both_say(wanderer, balcony, "after")
            await _all_heard(wanderer, balcony, ["before", "meanwhile", "after"])
            late = [s for s in wanderer.stanzas if s.body and s.body.startswith("meanwhile")]
            assert all(s.delay for s in late), "what was held while the client was away carries no delay"
            assert wanderer.events.count("online") == 1, wanderer.events


def _lines(who, when):
    return [f"{who} {when} {n}" for n in range(5)]


async def _both_say(wanderer, balcony, when):
    for of_romeo, of_juliet in zip(_lines(f"{when}: romeo", "says"), _lines(f"{when}: juliet", "says")):
        await wanderer.say(balcony.jid, of_romeo)
        await balcony.say(wanderer.jid, of_juliet)


async def _all_heard(wanderer, balcony, times):
    """Exactly these, in this order."""
    for client, speaker in ((wanderer, "juliet"), (balcony, "romeo")):
        wanted = [line for when in times for line in _lines(f"{when}: {speaker}", "says")]
        await client.hears(wanted[-1], patience=20)
        assert client.bodies() == wanted, f"{client} heard {client.bodies()}"


@check
async def slixmpp_resumes_after_a_cut(stage):
    """slixmpp loses its connection in a conversation and resumes; both hear everything once, in order."""
    await _cut_and_resume(stage, Slixmpp)


@check
async def xmppjs_resumes_after_a_cut(stage):
    """@xmpp/client does the same."""
    await _cut_and_resume(stage, XmppJs)


@check
async def tokio_xmpp_resumes_after_a_cut(stage):
    """tokio-xmpp does the same."""
    await _cut_and_resume(stage, TokioXmpp)


@check
async def a_half_open_connection_is_replaced(stage):
    """The network swallows everything and the server does not know; @xmpp/client and then slixmpp resume on a new
    connection while the old one is still there for the server."""
    juliet, = await stage.accounts("juliet")
    server = stage.server
    async with Slixmpp(server, juliet, "balcony") as balcony:
        for Program in (XmppJs, Slixmpp):
            romeo, = await stage.accounts(f"romeo-{Program.__name__.lower()}")
            async with Proxy(server.address, server.starttls) as proxy:
                wanderer, resumed = _wanderer(Program, server, romeo, proxy)
                async with wanderer:
                    await wanderer.appear()
                    await balcony.say(wanderer.jid, "one")
                    await wanderer.hears("one")
                    proxy.freeze()
                    await balcony.say(wanderer.jid, "two")
                    await wanderer.say(balcony.jid, f"two from {wanderer.program}")
                    await asyncio.sleep(0.3)
                    proxy.cut_clients()
                    await wanderer.experiences(resumed, patience=20)
                    await balcony.say(wanderer.jid, "three")
                    await wanderer.hears("three")
                    await balcony.hears(f"two from {wanderer.program}")
                    assert wanderer.bodies() == ["one", "two", "three"], wanderer.bodies()
        assert sorted(balcony.bodies()) == sorted(f"two from {p.program}" for p in (XmppJs, Slixmpp))


@check(seconds=120)
async def many_cuts_lose_and_double_nothing(stage):
    """Two hundred numbered lines each way while slixmpp's connection is cut again and again at random moments."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    server, count = stage.server, 200
    async with Proxy(server.address, server.starttls) as proxy:
        wanderer, resumed = _wanderer(Slixmpp, server, romeo, proxy)
        async with wanderer, Slixmpp(server, juliet, "balcony") as balcony:
            await wanderer.appear()

            async def talk(speaker, to):
                for number in range(count):
                    # What slixmpp is told to send without a connection overtakes what it sends again.
                    while not speaker.is_connected:
                        await asyncio.sleep(0.05)
                    await speaker.say(to, f"line {number}")
                    await asyncio.sleep(random.uniform(0, 0.06))

            async def cut():
                for _ in range(8):
                    await asyncio.sleep(random.uniform(0.3, 0.9))
                    proxy.cut()
            await asyncio.gather(talk(wanderer, balcony.jid), talk(balcony, wanderer.jid), cut())
            wanted = [f"line {number}" for number in range(count)]
            for client in (balcony, wanderer):
                await client.hears(wanted[-1], patience=30)
                assert client.bodies() == wanted, _difference(client, wanted)
            assert wanderer.events.count("online") == 1, "it had to begin a new session"
            return f"{count} lines each way, resumed {wanderer.events.count(resumed)} times, " \
                f"said again {wanderer.events.count('forgotten')} that slixmpp had forgotten"


def _difference(client, wanted):
    heard = client.bodies()
    lost = [line for line in wanted if line not in heard]
    doubled = [line for line in wanted if heard.count(line) > 1]
    early = [late for late, next in zip(heard, heard[1:]) if wanted.index(late) > wanted.index(next)]
    return f"{client}: lost {lost}, doubled {doubled}, before their time {early}"


@check
async def a_session_that_is_gone_is_begun_anew(stage):
    """The server is killed and started; @xmpp/client's resumption fails, it binds again, and nothing that was
    acknowledged is lost."""
    import signal
    romeo, juliet = await stage.accounts("romeo", "juliet")
    server = stage.server
    async with Proxy(server.address, server.starttls) as proxy, XmppJs(
            server, romeo, "street", port=proxy.port) as wanderer:
        await wanderer.appear()
        async with Slixmpp(server, juliet, "balcony", resumes=True) as balcony:
            await balcony.say(wanderer.jid, "before")
            await wanderer.hears("before")
            proxy.take_down()
            await balcony.acknowledged(await balcony.say(wanderer.jid, "meanwhile"))
            server.stop(signal.SIGKILL)
        server.start()
        proxy.target = (server.address, server.starttls)
        proxy.bring_up()
        await wanderer.experiences("online", count=2, patience=20)
        await wanderer.appear()
        await wanderer.hears("meanwhile")
        assert "resumed" not in wanderer.events
        # It may hear again what it did not acknowledge, and nothing else.
        assert wanderer.bodies()[-1] == "meanwhile" and set(wanderer.bodies()) == {"before", "meanwhile"}
