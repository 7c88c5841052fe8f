"""What all clients of the tests have in common: an inbox, and words to ask it with."""
import asyncio
import itertools

from .stanzas import message, presence

PATIENCE = 10


class NotSeen(AssertionError):
    """A client waited for something in vain."""


class Client:
    """Somebody logged in with a program that is not ours. Subclasses know the program."""

    program = None
    # Everything that anybody said.
    said: set[str] = set()
    _ids = itertools.count(1)

    def __init__(self, account, resource):
        self.account, self.resource = account, resource
        self.jid = None
        self.stanzas = []
        self.events = []
        self._news = asyncio.Event()

    # What subclasses do.

    async def start(self):
        raise NotImplementedError

    async def send(self, xml):
        raise NotImplementedError

    async def stop(self):
        raise NotImplementedError

    # What a check says.

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()

    async def say(self, to, body):
        """Sends a chat message and gives its id."""
        id = f"{self.resource}-{next(self._ids)}"
        self.said.add(body)
        await self.send(message(to, body, id))
        return id

    async def appear(self, **how):
        await self.send(presence(**how))

    async def ask(self, type, payload, to=None):
        """Sends an IQ and gives the answer's stanza."""
        id = f"{self.resource}-{next(self._ids)}"
        address = f" to='{to}'" if to else ""
        await self.send(f"<iq xmlns='jabber:client' type='{type}' id='{id}'{address}>{payload}</iq>")
        return await self.sees(lambda s: s.name == "iq" and s.xml.get("id") == id, f"the answer to {payload}")

    async def hears(self, body, **how):
        """Waits for a message with that body; `carbon` says whether as a copy."""
        carbon = how.pop("carbon", None)
        return await self.sees(lambda s: s.name == "message" and s.body == body and s.carbon == carbon,
                               f"a message {body!r}" + (f" as carbon ({carbon})" if carbon else ""), **how)

    async def sees_presence(self, sender, type="available", **how):
        show = how.pop("show", None)
        return await self.sees(
            lambda s: s.name == "presence" and s.type == type and s.sender.startswith(sender)
            and (show is None or s.text("show") == show),
            f"presence {type} of {sender}", **how)

    async def sees(self, is_it, what, patience=PATIENCE, since=0):
        """Waits for a stanza; those from the `since`th count."""
        return await self._until(lambda: next(filter(is_it, self.stanzas[since:]), None), what, patience)

    async def experiences(self, event, count=1, patience=PATIENCE):
        """Waits until something happened to the client itself, such as "resumed", so many times."""
        await self._until(lambda: self.events.count(event) >= count, f"{event!r} (time {count})", patience)

    def bodies(self, carbon=None):
        """The bodies of all messages so far, in order."""
        return [s.body for s in self.stanzas if s.name == "message" and s.body and s.carbon == carbon]

    # What subclasses report.

    def received(self, stanza):
        self.stanzas.append(stanza)
        self._tell()

    def happened(self, event):
        self.events.append(event)
        self._tell()

    def _tell(self):
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _until(self, found, what, patience):
        async def look():
            while not (it := found()):
                await self._news.wait()
            return it
        try:
            return await asyncio.wait_for(look(), patience)
        except asyncio.TimeoutError:
            seen = "\n".join(f"      {one}" for one in [*self.events[-10:], *self.stanzas[-10:]]) or "      nothing"
            raise NotSeen(f"{self} did not see {what} in {patience} s; of late it saw\n{seen}") from None

    def __str__(self):
        return f"{self.account.user}/{self.resource} ({self.program})"
