"""A certificate authority of the tests, and the server's certificate signed by it.

The clients trust the authority and check the server's name: nothing here is "insecure".
"""
import subprocess
from pathlib import Path


class Certificates:
    def __init__(self, folder: Path, domain: str, address: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca = self._authority("ca")
        # Nothing is signed by this one: who trusts only it must refuse the server.
        self.stranger = self._authority("stranger")
        self.certificate, self.key = folder / "server.crt", folder / "server.key"
        names = folder / "names"
        names.write_text(f"subjectAltName=DNS:{domain},IP:{address}\nextendedKeyUsage=serverAuth\n")
        request = folder / "server.csr"
        self._openssl("req", *self._new_key(self.key), "-out", request, "-subj", f"/CN={domain}")
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", folder / "ca.key",
                      "-CAcreateserial", "-days", "7", "-out", self.certificate, "-extfile", names)

    def _authority(self, name):
        certificate = self.folder / f"{name}.pem"
        self._openssl("req", "-x509", *self._new_key(self.folder / f"{name}.key"), "-out", certificate,
                      "-days", "7", "-subj", f"/CN=Meerkat's tests, {name}",
                      "-addext", "keyUsage=critical,keyCertSign")
        return certificate

    @staticmethod
    def _new_key(file):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", file]

    @staticmethod
    def _openssl(*arguments):
        run = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=30)
        if run.returncode:
            raise RuntimeError(f"openssl {arguments[0]}: {run.stderr}")
