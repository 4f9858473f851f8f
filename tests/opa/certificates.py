"""An authority and certificates for tests of TLS, as files."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from pathlib import Path

_DAY = dt.timedelta(days=1)


class Authority:
    """Signs certificates, and puts them into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = str(folder / f"{name}.pem")
        made = self._certificate(self.name, self.key, x509.BasicConstraints(True, None))
        self._write(self.file, made)

    def sign(self, name: str, hosts: tuple[str, ...] = (), days: int = 1) -> tuple[str, str]:
        """The files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        certificate = self._certificate(
            subject, key, x509.SubjectAlternativeName(names or [x509.DNSName(name)]), days
        )
        place = str(self.folder / f"{name}.crt"), str(self.folder / f"{name}.key")
        self._write(place[0], certificate)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        with open(place[1], "wb") as file:  # noqa: PTH123  # a str, as the options of OPA are
            file.write(private)
        return place

    def _certificate(self, subject, key, extension, days=1):
        now = dt.datetime.now(dt.UTC)
        start = now - 3 * _DAY
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(now + days * _DAY)
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )

    @staticmethod
    def _write(file, certificate):
        with open(file, "wb") as opened:  # noqa: PTH123  # as above
            opened.write(certificate.public_bytes(serialization.Encoding.PEM))
