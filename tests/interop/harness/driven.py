"""Clients that are programs of their own, driven by JSON lines: @xmpp/client and tokio-xmpp."""
import asyncio
import json
import os
from pathlib import Path

from . import processes
from .client import PATIENCE, Client
from .server import DOMAIN
from .stanzas import Stanza


class Driven(Client):
    """See xmppjs/client.mjs and tokio-xmpp/src/main.rs for what is said to them and what they tell."""

    def __init__(self, server, account, resource, direct=False, port=None, ca=None):
        super().__init__(account, resource)
        self._ca, self._direct = ca or server.certificates.ca, direct
        # A proxy listens on 127.0.0.1.
        self._where = ("127.0.0.1", port) if port else (server.address, server.direct if direct else server.starttls)

    def command(self):
        raise NotImplementedError

    async def launch(self):
        """Starts the program; it logs in by itself."""
        self._process = await processes.start_piped(*self.command(), env={**os.environ, **self.environment()})
        self._reading = asyncio.ensure_future(self._read())

    async def start(self):
        await self.launch()
        await self.experiences("online")

    async def send(self, xml):
        self._tell_it({"do": "send", "xml": xml})

    async def stop(self):
        if "online" not in self.events:
            # Some cannot be stopped politely while they try to connect.
            self._process.kill()
        if self._process.returncode is None:
            try:
                self._tell_it({"do": "stop"})
                await asyncio.wait_for(self._process.wait(), PATIENCE)
            except (asyncio.TimeoutError, ConnectionError):
                self._process.kill()
        await self._process.wait()
        await self._reading

    async def vanish(self):
        """Kills the program: its connection ends without a word."""
        self._process.kill()
        await self._process.wait()

    def _tell_it(self, command):
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def _read(self):
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            match told["event"]:
                case "stanza":
                    self.received(Stanza.parse(told["xml"]))
                case "log" | "error":
                    self.happened(f"{told['event']}: {told['text']}")
                case event:
                    self.jid = told.get("jid", self.jid)
                    self.happened(event)


class XmppJs(Driven):
    program = "@xmpp/client"

    def command(self):
        scheme = "xmpps" if self._direct else "xmpp"
        script = Path(__file__).parent.parent / "xmppjs" / "client.mjs"
        service = f"{scheme}://{self._where[0]}:{self._where[1]}"
        return ["node", script, service, DOMAIN, self.account.user, self.account.password, self.resource]

    async def start(self):
        await super().start()
        await self.experiences("managed")

    def environment(self):
        return {"NODE_EXTRA_CA_CERTS": str(self._ca)}


class TokioXmpp(Driven):
    program = "tokio-xmpp"

    def command(self):
        jid, where = f"{self.account.jid}/{self.resource}", f"{self._where[0]}:{self._where[1]}"
        return [os.environ["TOKIO_XMPP_BIN"], jid, self.account.password, where, "direct" if self._direct else "starttls"]

    def environment(self):
        return {"SSL_CERT_FILE": str(self._ca), "SSL_CERT_DIR": ""}
