// A client on @xmpp/client. It takes commands from its standard input and tells what happens on its standard
// output, a JSON object a line:
//
//   node client.mjs SERVICE DOMAIN USER PASSWORD RESOURCE      SERVICE is xmpp://HOST:PORT or xmpps://HOST:PORT
//   <- {"do": "send", "xml": "<message ..."}     {"do": "stop"}
//   -> {"event": "online", "jid": "..."}         a new session
//   -> {"event": "managed"}                      the session can be resumed from now on
//   -> {"event": "disconnect"}                   the connection broke; it comes back by itself after a second
//   -> {"event": "resumed"}                      the same session on a new connection
//   -> {"event": "stanza", "xml": "..."}
//   -> {"event": "error", "text": "..."}

import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";

// Node 18 has it under this name only; @xmpp/client expects it where newer ones have it.
globalThis.crypto ??= webcrypto;
const { client } = await import("@xmpp/client");
const { default: parse } = await import("@xmpp/xml/lib/parse.js");

const [service, domain, username, password, resource] = process.argv.slice(2);
const tell = (told) => process.stdout.write(JSON.stringify(told) + "\n");

// Its own bound of 2 s for each step is short on a busy machine: it computes PBKDF2 in JavaScript.
const xmpp = client({ service, domain, username, password, resource, timeout: 10_000 });
xmpp.on("online", (jid) => tell({ event: "online", jid: jid.toString() }));
xmpp.on("disconnect", () => tell({ event: "disconnect" }));
xmpp.on("stanza", (stanza) => tell({ event: "stanza", xml: stanza.toString() }));
xmpp.on("nonza", (element) => element.is("enabled", "urn:xmpp:sm:3") && tell({ event: "managed" }));
xmpp.on("error", (error) => tell({ event: "error", text: String(error) }));
xmpp.streamManagement.on("resumed", () => tell({ event: "resumed" }));

async function obey(command) {
  if (command.do === "stop") {
    await xmpp.stop().catch(() => {});
    process.exit(0);
  }
  // What is sent while there is no connection waits in its own queue for the resumption.
  await xmpp.send(parse(command.xml)).catch(() => {});
}

createInterface({ input: process.stdin })
  .on("line", (line) => obey(JSON.parse(line)))
  .on("close", () => process.exit(0));
xmpp.start().catch(() => {});
