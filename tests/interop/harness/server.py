"""The real server: its configuration, its process, its log, its metrics, its accounts."""
import asyncio
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .certificates import Certificates

DOMAIN = "localhost"
PATIENCE = 20

CONFIGURATION = """\
[general]
hosts = ["{domain}"]

[[tls.certificates]]
certificate = "{certificate}"
key = "{key}"

[[listen.c2s]]
ip = "{address}"
port = {starttls}
tls = "starttls"

[[listen.c2s]]
ip = "{address}"
port = {direct}
tls = "direct"

[[listen.http]]
ip = "{address}"
port = {https}
tls = "direct"

[[listen.metrics]]
ip = "{address}"
port = {metrics}

[modules.upload]
base_url = "https://{address}:{https}"

[modules.register]
enabled = true
registrations_per_address = "none"
"""


@dataclass(frozen=True)
class Account:
    jid: str
    password: str

    @property
    def user(self):
        return self.jid.partition("@")[0]


class Server:
    def __init__(self, folder: Path, variables=None):
        self.folder, self.data = folder, folder / "data"
        self._variables = variables or {}
        self.log, self.configuration = folder / "log", folder / "meerkat.toml"
        self.passwords = []
        self._process = None
        self._find_ports()

    def _find_ports(self):
        self.address, self.standard_ports = _address()
        self.starttls, self.direct = (5222, 5223) if self.standard_ports else (_free_port(), _free_port())
        self.metrics_port, self.https = _free_port(), _free_port()
        self.certificates = Certificates(self.folder / "tls", DOMAIN, self.address)
        self.configuration.write_text(CONFIGURATION.format(
            domain=DOMAIN, certificate=self.certificates.certificate, key=self.certificates.key,
            address=self.address, starttls=self.starttls, direct=self.direct, https=self.https,
            metrics=self.metrics_port))

    def start(self):
        for _ in range(5):
            if self._starts():
                return
            # Somebody else took a port in between.
            self._find_ports()
        raise RuntimeError(f"no free ports:\n{self.log_text()}")

    def _starts(self):
        binary, before = os.environ["MEERKAT_BIN"], len(self.log_text())
        with open(self.log, "ab") as log:
            self._process = processes.start(
                [binary, "--config", self.configuration, "--data", self.data],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self._variables})
        until = time.monotonic() + PATIENCE
        while not self.is_ready():
            said = self.log_text()[before:]
            if self._process.poll() is not None and "Address already in use" in said:
                return False
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server did not start:\n{said}")
            time.sleep(0.05)
        return True

    def stop(self, how=signal.SIGTERM):
        """Ends it, and gives its exit code."""
        self._process.send_signal(how)
        return self._process.wait(PATIENCE)

    def is_ready(self):
        try:
            return self._get("/readyz") is not None
        except OSError:
            return False

    def metric(self, name, **labels):
        """The value of one sample, as `metric("meerkat_logins_total", mechanism="PLAIN")`; summed over the
        labels that are not named."""
        found = 0.0
        for line in self._get("/metrics").splitlines():
            sample = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if sample and all(f'{label}="{value}"' in (sample[1] or "") for label, value in labels.items()):
                found += float(sample[2])
        return found

    def _get(self, path):
        with urllib.request.urlopen(f"http://{self.address}:{self.metrics_port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def no_account_yet(self, user) -> Account:
        account = Account(f"{user}@{DOMAIN}", f"secret of {user} ✓")
        self.passwords.append(account.password)
        return account

    async def account(self, user) -> Account:
        """Makes an account with the server's own tool."""
        account = self.no_account_yet(user)
        await self.control("account", "registerUser", "--domain", DOMAIN, "--username", user,
                           "--password", account.password)
        return account

    async def control(self, *words):
        """Runs meerkatctl, and gives what it printed."""
        tool = Path(os.environ["MEERKAT_BIN"]).with_name("meerkatctl")
        run = await asyncio.create_subprocess_exec(
            tool, "--socket", self.data / "ctl.sock", *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        printed, _ = await asyncio.wait_for(run.communicate(), PATIENCE)
        if run.returncode:
            raise AssertionError(f"meerkatctl {' '.join(words[:2])}: {printed.decode()}")
        return printed.decode()


def _address():
    """An address of the loopback network where the standard ports are free: some programs insist on them.
    Where they are not to be had, 127.0.0.1 and any free ports."""
    for _ in range(20):
        address = "127." + ".".join(str(byte) for byte in (64 + os.urandom(1)[0] // 2, *os.urandom(1), 1))
        try:
            for port in (5222, 5223):
                with socket.socket() as probe:
                    probe.bind((address, port))
            return address, True
        except OSError:
            continue
    return "127.0.0.1", False


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
