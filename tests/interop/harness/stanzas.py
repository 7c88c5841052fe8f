"""What a client received, and how a check asks for it."""
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

CLIENT = "{jabber:client}"
CARBONS = "{urn:xmpp:carbons:2}"
FORWARD = "{urn:xmpp:forward:0}"
DELAY = "{urn:xmpp:delay}"


@dataclass
class Stanza:
    """Message, presence or IQ; with `carbon` ("sent" or "received") it is the copy inside of one."""
    xml: ET.Element
    carbon: str | None = None

    @staticmethod
    def parse(text):
        """A stanza as it stands in a stream whose default namespace is `jabber:client`."""
        stanza = Stanza(ET.fromstring(f"<s xmlns='jabber:client'>{text}</s>")[0])
        return stanza.unwrapped()

    def unwrapped(self):
        for carbon in ("sent", "received"):
            inner = self.xml.find(f"{CARBONS}{carbon}/{FORWARD}forwarded/{CLIENT}message")
            if inner is not None:
                return Stanza(inner, carbon)
        return self

    @property
    def name(self):
        return self.xml.tag.removeprefix(CLIENT)

    @property
    def type(self):
        return self.xml.get("type", {"message": "normal", "presence": "available"}.get(self.name))

    @property
    def sender(self):
        return self.xml.get("from", "")

    def text(self, child):
        return self.xml.findtext(CLIENT + child)

    @property
    def body(self):
        return self.text("body")

    @property
    def delay(self):
        """The stamp and the author of the delay, if it has one."""
        delay = self.xml.find(DELAY + "delay")
        return None if delay is None else (delay.get("stamp"), delay.get("from"))

    def __str__(self):
        return (f"[{self.carbon}] " if self.carbon else "") + ET.tostring(self.xml, "unicode")


def message(to, body, id):
    return (f"<message xmlns='jabber:client' to={quoteattr(to)} type='chat' id={quoteattr(id)}>"
            f"<body>{escape(body)}</body></message>")


def presence(to=None, type=None, show=None, priority=None):
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in (("to", to), ("type", type)) if value)
    children = f"<show>{show}</show>" if show else ""
    children += f"<priority>{priority}</priority>" if priority is not None else ""
    return f"<presence xmlns='jabber:client'{attributes}>{children}</presence>"
