"""A program on a pseudo-terminal, as if a person had started it."""
import asyncio
import os
import pty
import re
import subprocess

from . import processes

PATIENCE = 10


class Terminal:
    def __init__(self, *command, **environment):
        self.printed = b""
        self._master, slave = pty.openpty()
        self._process = processes.start(
            list(map(str, command)), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": "dumb", **environment})
        os.close(slave)
        os.set_blocking(self._master, False)

    def type(self, keys: bytes):
        os.write(self._master, keys)

    async def shows(self, pattern: bytes, patience=PATIENCE):
        """Waits until the output so far has that (a regular expression), and gives the match."""
        until = asyncio.get_running_loop().time() + patience
        while not (match := re.search(pattern, self.printed, re.DOTALL)):
            if asyncio.get_running_loop().time() > until or not self._read():
                raise AssertionError(f"the terminal does not show {pattern!r} but {self.printed!r}")
            await asyncio.sleep(0.02)
        return match

    def _read(self):
        """What there is; False when nothing can come any more."""
        try:
            self.printed += os.read(self._master, 65536)
        except BlockingIOError:
            return True
        except OSError:
            # Linux: the last process on it has ended.
            return False
        return True

    async def ends(self, patience=PATIENCE):
        """Waits for the program's end, and gives its exit code."""
        code = await asyncio.to_thread(self._process.wait, patience)
        while self._read():
            await asyncio.sleep(0.02)
        os.close(self._master)
        return code

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
