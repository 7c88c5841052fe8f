"""A client on slixmpp."""
import asyncio
import copy
import xml.etree.ElementTree as ET

from slixmpp import ClientXMPP
from slixmpp.stanza import Iq, Message, Presence

from .client import PATIENCE, Client, NotSeen
from .stanzas import Stanza

EVENTS = ("session_resumed", "sm_enabled", "sm_failed", "carbon_received", "carbon_sent", "failed_auth",
          "disconnected", "stream_error", "connection_failed", "ssl_invalid_chain")


class Slixmpp(Client):
    program = "slixmpp"

    def __init__(self, server, account, resource, direct=False, resumes=False, port=None, ca=None):
        super().__init__(account, resource)
        self.xmpp = ClientXMPP(f"{account.jid}/{resource}", account.password)
        self.xmpp.ca_certs = str(ca or server.certificates.ca)
        self.xmpp.enable_direct_tls, self.xmpp.enable_starttls = direct, not direct
        self.xmpp.auto_authorize, self.xmpp.auto_subscribe = None, False
        # A proxy listens on 127.0.0.1.
        self._where = ("127.0.0.1", port) if port else (server.address, server.direct if direct else server.starttls)
        for plugin in ("xep_0030", "xep_0199", "xep_0203", "xep_0280", *(["xep_0198"] if resumes else [])):
            self.xmpp.register_plugin(plugin)
        self._resumes = resumes
        self.xmpp.add_filter("in", self._heard)
        self.xmpp.add_event_handler("session_start", self._began)
        self._acknowledged = set()
        self.xmpp.add_event_handler("stanza_acked", lambda stanza: self._acknowledged.add(stanza["id"]))
        for event in EVENTS:
            self.xmpp.add_event_handler(event, lambda _, event=event: self.happened(event))

    @property
    def is_connected(self):
        """Whether it has a session on a connection, as far as it knows."""
        changes = [e for e in self.events if e in ("online", "session_resumed", "disconnected")]
        return bool(changes) and changes[-1] != "disconnected"

    def connect(self):
        self.xmpp.connect(*self._where)

    async def start(self):
        self.connect()
        await self.experiences("online")
        if self._resumes:
            await self.experiences("sm_enabled")

    async def send(self, xml):
        # As its own stanza, not as bytes: slixmpp counts it for stream management.
        element = ET.fromstring(xml)
        kind = {"message": Message, "presence": Presence, "iq": Iq}[element.tag.rpartition("}")[2]]
        stanza = kind(self.xmpp, xml=element)
        self.xmpp.send(stanza)
        while self._resumes and not await self._keeps(stanza):
            self.happened("forgotten")
            while not self.is_connected:
                await asyncio.sleep(0.05)
            self.xmpp.send(stanza)

    async def _keeps(self, stanza):
        """Whether slixmpp has that stanza still or the server counted it. What it takes from its queue between the
        loss of its connection and the resumption it forgets: it never was on a connection, and no server can know
        of it."""
        await self.xmpp.waiting_queue.join()
        unacknowledged = self.xmpp["xep_0198"].unacked_queue
        return stanza["id"] in self._acknowledged or any(kept is stanza for _, kept in unacknowledged)

    async def stop(self):
        if self.xmpp.is_connected():
            await self.xmpp.disconnect(wait=PATIENCE)
        else:
            self.xmpp.cancel_connection_attempt()
            self.xmpp.abort()

    async def acknowledged(self, id):
        """Waits until the server counted the stanza with that id. It asks now and then: a request of slixmpp's
        own overtakes what still waits in its queue."""
        until = asyncio.get_running_loop().time() + PATIENCE
        while id not in self._acknowledged:
            if asyncio.get_running_loop().time() > until:
                raise NotSeen(f"{self}: stanza {id} is not acknowledged")
            self.xmpp["xep_0198"].request_ack()
            await asyncio.sleep(0.1)

    def come_back_when_disconnected(self):
        """As applications do it: slixmpp itself does not reconnect."""
        self.xmpp.add_event_handler("disconnected", lambda _: asyncio.get_running_loop().call_later(0.2, self.connect))

    def _began(self, _):
        self.jid = self.xmpp.boundjid.full
        self.happened("online")

    def _heard(self, stanza):
        if isinstance(stanza, (Message, Presence, Iq)):
            self.received(Stanza(copy.deepcopy(stanza.xml)).unwrapped())
        return stanza
