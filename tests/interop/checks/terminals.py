"""Debian's programs for people who live in a terminal: go-sendxmpp and profanity."""
import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import processes
from harness.slix import Slixmpp

from . import check

PATIENCE = 15


@check
async def go_sendxmpp_sends_and_listens(stage):
    """go-sendxmpp sends a line from its standard input over STARTTLS and over direct TLS; slixmpp hears it, and what
    it answers go-sendxmpp prints."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    server = stage.server
    environment = {**os.environ, "SSL_CERT_FILE": str(server.certificates.ca), "HOME": str(server.folder)}

    def command(*arguments, port):
        return ["go-sendxmpp", *arguments, "-u", romeo.jid, "-p", romeo.password, "-j", f"{server.address}:{port}"]

    async with Slixmpp(server, juliet, "balcony") as balcony:
        await balcony.appear()
        for line, tls, port in (("after STARTTLS 🌹", [], server.starttls), ("direct TLS", ["-t"], server.direct)):
            sent = await asyncio.to_thread(
                subprocess.run, [*command(*tls, port=port), juliet.jid], input=line + "\n", env=environment,
                capture_output=True, text=True, timeout=PATIENCE)
            assert sent.returncode == 0, sent.stderr
            heard = await balcony.sees(lambda s: s.body and s.body.strip() == line, f"a message {line!r}")
            assert heard.sender.startswith(romeo.jid + "/")

        listener = await processes.start_piped(*command("-l", port=server.starttls), env=environment)
        try:
            # It tells nothing when it is there: what is said before waits for it.
            await balcony.say(romeo.jid, "do you hear me?")
            printed = (await asyncio.wait_for(listener.stdout.readline(), PATIENCE)).decode()
            assert "do you hear me?" in printed and juliet.jid in printed, printed
        finally:
            listener.kill()
            await listener.wait()
    return f"it printed {printed.strip()!r}"


class Profanity:
    """profanity on a screen of tmux."""

    def __init__(self, folder, certificates):
        self.folder = folder
        trusted = folder / "trusted"
        trusted.mkdir()
        shutil.copy(certificates.ca, trusted / "ca.pem")
        subprocess.run(["openssl", "rehash", trusted], check=True, capture_output=True, timeout=PATIENCE)
        settings = folder / ".config" / "profanity"
        settings.mkdir(parents=True)
        (settings / "profrc").write_text(f"[connection]\ntls.certpath={trusted}\n[ui]\nsplash=false\n")

    def start(self):
        environment = f"HOME={self.folder} XDG_CONFIG_HOME= XDG_DATA_HOME= LC_ALL=C.UTF-8"
        # In the foreground of its own server, which ends with it.
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "150", "-y", "50", f"env {environment} profanity")

    def _tmux(self, *arguments):
        run = subprocess.run(["tmux", "-S", self.folder / "tmux", *arguments], capture_output=True, text=True,
                             timeout=PATIENCE)
        assert run.returncode == 0, f"tmux {arguments[0]}: {run.stderr}"
        return run.stdout

    def type(self, line):
        self._tmux("send-keys", "-l", line)
        self._tmux("send-keys", "Enter")

    def screen(self):
        return self._tmux("capture-pane", "-p")

    async def shows(self, text):
        until = asyncio.get_running_loop().time() + PATIENCE
        while text not in self.screen():
            if asyncio.get_running_loop().time() > until:
                raise AssertionError(f"profanity does not show {text!r} but\n{self.screen()}")
            await asyncio.sleep(0.1)

    def end(self):
        subprocess.run(["tmux", "-S", self.folder / "tmux", "kill-server"], capture_output=True, timeout=PATIENCE)


@check
async def profanity_on_its_screen(stage):
    """profanity connects with verified TLS, sends a line to slixmpp, and shows the answer; a subscription request
    appears on its screen."""
    romeo, juliet = await stage.accounts("romeo", "juliet")
    server = stage.server
    with tempfile.TemporaryDirectory(dir=server.folder) as folder:
        profanity = Profanity(Path(folder), server.certificates)
        async with Slixmpp(server, juliet, "balcony") as balcony:
            await balcony.appear()
            try:
                profanity.start()
                await profanity.shows("Profanity")
                profanity.type(f"/connect {romeo.jid} server {server.address} port {server.starttls} tls force")
                await profanity.shows("Enter password")
                profanity.type(romeo.password)
                await profanity.shows("logged in successfully")
                profanity.type(f"/msg {juliet.jid} But soft, what light")
                heard = await balcony.hears("But soft, what light")
                await balcony.say(heard.sender, "Ay me!")
                await profanity.shows("Ay me!")
                balcony.xmpp.send_presence_subscription(pto=romeo.jid, ptype="subscribe")
                profanity.type("/win 1")
                await profanity.shows("authorization request from " + juliet.jid)
                shown = profanity.screen()
                profanity.type("/quit")
            finally:
                profanity.end()
    # The window's text, without the clock before it and the roster beside it.
    said = re.findall(r"- (Connecting as \S+|\S+ logged in successfully|Received authorization request from \S+)", shown)
    return "its screen: " + " | ".join(said)
