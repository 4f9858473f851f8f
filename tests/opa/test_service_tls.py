"""A service's certificate is checked against the configured CA; ours is shown where asked."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from tests.opa.bundle_server import BundleServer
from tests.opa.running import FIRST, Running, settings_of

from guardrails.errors import ConfigError, PolicyLoadError
from guardrails.opa.services import ClientCertificate, Service, ServiceClient
from guardrails.testing import FakeClock

NOW = dt.datetime.now(dt.UTC)


class Authority:
    """A CA, and the files of those that it vouches for."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, folder.name)])
        made = self._certificate(self._name, self._key.public_key(), ca=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(made.public_bytes(Encoding.PEM))

    def _certificate(self, name: x509.Name, public: Any, *, ca: bool) -> x509.Certificate:
        local = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - dt.timedelta(hours=1))
            .not_valid_after(NOW + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(local, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, who: str, passphrase: bytes | None = None) -> tuple[Any, Any]:
        """The files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, who)])
        certificate = self.folder / f"{who}.pem"
        made = self._certificate(name, key.public_key(), ca=False)
        certificate.write_bytes(made.public_bytes(Encoding.PEM))
        sealed = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
        private = self.folder / f"{who}.key"
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))
        return certificate, private


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def context(authority):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*authority.issue("server"))
    return made


def test_the_ca_that_is_configured_is_trusted_and_no_other(authority, context, tmp_path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    with BundleServer(tls=context) as server:
        server.serve("/bundles/b", FIRST)
        for ca, fits in ((authority.file, True), (other.file, False), (None, False)):
            service = Service("s", server.url, ca_cert=ca, system_ca=ca is other.file)
            with Running(server, settings_of(server, service=service)) as its:
                if fits:
                    its.start()
                    assert its.status.active_revision == "r1"
                else:
                    with pytest.raises(PolicyLoadError, match="certificate verify failed"):
                        its.start()


def test_the_name_of_the_service_is_checked(authority, context) -> None:
    with BundleServer(tls=context) as server:
        server.serve("/bundles/b", FIRST)
        url = server.url.replace("127.0.0.1", "localhost")
        service = Service("s", url, ca_cert=authority.file)
        with (
            Running(server, settings_of(server, service=service)) as its,
            pytest.raises(PolicyLoadError, match=r"certificate verify failed|doesn't match"),
        ):
            its.start()


@pytest.mark.parametrize("passphrase", [None, "open sesame"])
def test_a_client_certificate_is_shown(passphrase, authority, context) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    with BundleServer(tls=context) as server:
        server.serve("/bundles/b", FIRST)
        service = Service("s", server.url, ca_cert=authority.file)
        with (
            Running(server, settings_of(server, service=service)) as its,
            pytest.raises(PolicyLoadError, match="cannot be reached"),
        ):
            its.start()
        files = authority.issue("client", passphrase.encode() if passphrase else None)
        shown = ClientCertificate(files[0], files[1], passphrase)
        service = Service("s", server.url, ca_cert=authority.file, client=shown)
        with Running(server, settings_of(server, service=service)) as its:
            its.start()
            assert its.status.active_revision == "r1"


def test_certificates_that_cannot_be_used_are_a_wrong_configuration(authority, tmp_path) -> None:
    certificate, private = authority.issue("client", b"open sesame")
    (tmp_path / "none.pem").write_text("nothing")
    wrong: list[dict[str, Any]] = [
        {"ca_cert": tmp_path / "missing.pem"},
        {"ca_cert": tmp_path / "none.pem"},
        {"client": ClientCertificate(certificate, private)},
        {"client": ClientCertificate(certificate, private, "wrong")},
        {"client": ClientCertificate(certificate, tmp_path / "none.pem")},
    ]
    for options in wrong:
        with pytest.raises(ConfigError, match="certificates of the service `s`") as caught:
            ServiceClient(Service("s", "https://127.0.0.1:1", **options), FakeClock())
        assert "sesame" not in str(caught.value)
