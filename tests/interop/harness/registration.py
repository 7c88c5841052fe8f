"""In-band registration (XEP-0077) with slixmpp."""
import asyncio

from slixmpp import ClientXMPP


async def register(server, account):
    """Makes the account as a client does that knows nothing of the server's tools."""
    xmpp = ClientXMPP(account.jid, account.password)
    xmpp.ca_certs = str(server.certificates.ca)
    xmpp.enable_direct_tls = False
    for plugin in ("xep_0030", "xep_0004", "xep_0066", "xep_0077"):
        xmpp.register_plugin(plugin)
    xmpp["xep_0077"].force_registration = True
    done = asyncio.get_running_loop().create_future()

    async def fill_in(_):
        form = xmpp.Iq()
        form["type"] = "set"
        form["register"]["username"], form["register"]["password"] = account.user, account.password
        try:
            await form.send()
            done.set_result(None)
        except Exception as error:
            done.set_exception(error)
        xmpp.disconnect(wait=1)

    xmpp.add_event_handler("register", fill_in)
    xmpp.connect(server.address, server.starttls)
    await asyncio.wait_for(done, 20)
