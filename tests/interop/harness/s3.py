"""A real S3 server, which checks signatures."""
import os
import socket
import time
from pathlib import Path

from . import processes

KEY, SECRET, BUCKET = "meerkat", "not-so-secret", "uploads"


class S3:
    def __init__(self, folder: Path):
        self.folder = folder / "s3"
        for name in (f"data/{BUCKET}", "iam"):
            (self.folder / name).mkdir(parents=True)
        cache = Path(__file__).resolve().parents[2] / ".cache/go/bin/versitygw"
        program = os.environ.get("MEERKAT_VERSITYGW", cache)
        assert Path(program).exists(), f"there is no S3 server at {program}; `tests/run interop` installs it"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        with open(self.folder / "log", "ab") as log:
            self._process = processes.start(
                [program, "--port", f"127.0.0.1:{self.port}", "--quiet", "--iam-dir", self.folder / "iam",
                 "posix", self.folder / "data"],
                stdout=log, stderr=log, env={**os.environ, "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET})
        self._wait()

    def _wait(self):
        for _ in range(400):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"the S3 server did not start:\n{(self.folder / 'log').read_text()}")

    def stop(self):
        self._process.terminate()
        self._process.wait(20)

    def variables(self):
        """The configuration of a server that keeps its uploads there."""
        return {
            "MEERKAT__MODULES__UPLOAD__STORE": "s3",
            "MEERKAT__STORAGE__S3__ENDPOINT": f"http://127.0.0.1:{self.port}",
            "MEERKAT__STORAGE__S3__BUCKET": BUCKET,
            "MEERKAT__STORAGE__S3__ACCESS_KEY": KEY,
            "MEERKAT__STORAGE__S3__SECRET_KEY": SECRET,
        }

    def objects(self):
        return [path for path in (self.folder / "data" / BUCKET).rglob("*") if path.is_file() and ".sgwtmp" not in path.parts]
