"""Authorities and certificates for tests, made with the openssl program."""

import pathlib
import subprocess

EC_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


class Authority:
    """Signs certificates for 127.0.0.1; `root` is its own, which whoever trusts it needs."""

    def __init__(self, folder: pathlib.Path, name: str):
        self.folder, self.name = folder, name
        self.root, self.key = folder / f"{name}.crt", folder / f"{name}.key"
        subject = ["-subj", f"/CN={name}", "-days", "2", "-addext", "keyUsage=critical,keyCertSign"]
        openssl("req", "-x509", *EC_KEY, "-keyout", self.key, "-out", self.root, *subject)

    def sign(self, name: str) -> "Pair":
        pair = Pair(self.folder / f"{self.name}-{name}.crt", self.folder / f"{self.name}-{name}.key")
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("req", *EC_KEY, "-keyout", pair.key, "-out", request, "-subj", f"/CN={name}")
        signer = ["-CA", self.root, "-CAkey", self.key, "-CAcreateserial"]
        openssl("x509", "-req", "-in", request, "-out", pair.certificate, "-days", "2", "-extfile", extensions, *signer)
        return pair


class Pair:
    """A certificate and its key."""

    def __init__(self, certificate: pathlib.Path, key: pathlib.Path):
        self.certificate, self.key = certificate, key

    def copy_to(self, other: "Pair"):
        """Replaces the files of another pair, one after the other."""
        other.certificate.write_bytes(self.certificate.read_bytes())
        other.key.write_bytes(self.key.read_bytes())
