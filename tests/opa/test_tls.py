<<<<<<< HEAD
"""TLS with a real OPA: the right authority and the right name, or no decision; mTLS; new files."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from tests.opa.certificates import Authority
from tests.opa.chaos import answer, chaos
from tests.opa.opa_process import running

from guardrails.engines.sidecar import SidecarEngine
from guardrails.errors import ConfigError, PolicyUnavailable
from guardrails.model.decision import Effect
from guardrails.opa.administration import Administration
from guardrails.opa.tls import TLS

GENEROUS = 30.0
BOTH = pytest.mark.parametrize("shell", ["sync", "async"])
POLICY = """package guardrails

decision := {"effect": "allow", "reasons": [], "approvals": [], "obligations": []}
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), "other")


@pytest.fixture(scope="module")
def server(opa, authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("opa")
    certificate, key = authority.sign("server", ("localhost", "127.0.0.1"))
    options = [f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}"]
    with running(opa, folder, {"policy.rego": POLICY}, options) as started:
        yield started


@pytest.fixture(scope="module")
def mutual(opa, authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutual")
    certificate, key = authority.sign("mutual", ("localhost",))
    options = [
        f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}",
        f"--tls-ca-cert-file={authority.file}", "--authentication=tls",
    ]  # fmt: skip
    with running(opa, folder, {"policy.rego": POLICY}, options) as started:
        yield started


def ask(engine, shell):
    if shell == "sync":
        return engine.decide({"x": 1}, "d")
    return asyncio.run(engine.decide_async({"x": 1}, "d"))


def refused(engine, shell, match):
    with pytest.raises(PolicyUnavailable, match=match):
        ask(engine, shell)


@pytest.mark.opa
@BOTH
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_right_server(server, authority, shell, host):
    engine = SidecarEngine(
        f"https://{host}:{server.port}", tls=TLS(authority.file), deadline=GENEROUS
    )
    for _ in range(20):
        assert ask(engine, shell).effect is Effect.ALLOW
    assert engine.status().retried == 0
    assert len(engine._server._process.pool) == 1, "the connection is kept"
    engine.close()


@pytest.mark.opa
@BOTH
def test_many_at_once(server, authority, shell):
    engine = SidecarEngine(
        f"https://localhost:{server.port}", tls=TLS(authority.file), deadline=GENEROUS
    )

    async def wave():
        return await asyncio.gather(*(engine.decide_async({}, str(n)) for n in range(20)))

    assert [each.decision_id for each in asyncio.run(wave())] == [str(n) for n in range(20)]
    engine.close()


@pytest.mark.opa
@BOTH
def test_another_authority_or_the_systems_alone(server, other, shell):
    for tls in (TLS(other.file), None):
        engine = SidecarEngine(f"https://localhost:{server.port}", tls=tls, deadline=GENEROUS)
        refused(engine, shell, r"TLS failed \(the server's certificate is not accepted")


@BOTH
def test_another_name(opa, authority, tmp_path, shell):
    certificate, key = authority.sign("elsewhere", ("opa.example",))
    options = [f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}"]
    with running(opa, tmp_path, {"policy.rego": POLICY}, options) as server:
        engine = SidecarEngine(
            f"https://localhost:{server.port}", tls=TLS(authority.file), deadline=GENEROUS
        )
        refused(engine, shell, r"TLS failed .*not valid for 'localhost'|TLS failed .*mismatch")


@BOTH
def test_an_expired_certificate(opa, authority, tmp_path, shell):
    certificate, key = authority.sign("expired", ("localhost",), days=-1)
    options = [f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}"]
    with running(opa, tmp_path, {"policy.rego": POLICY}, options) as server:
        engine = SidecarEngine(
            f"https://localhost:{server.port}", tls=TLS(authority.file), deadline=GENEROUS
        )
        refused(engine, shell, "TLS failed .*expired")


@BOTH
def test_plain_and_tls_do_not_meet(opa, server, authority, tmp_path, shell):
    plain = SidecarEngine(f"http://localhost:{server.port}", deadline=GENEROUS)
    refused(plain, shell, "connection closed|request rejected")

    def script(peer):
        peer.socket.recv(10)
        peer.send(answer())
        peer.wait(0.2)

    with chaos(script) as clear:
        engine = SidecarEngine(
            clear.address.replace("http", "https"), tls=TLS(authority.file), deadline=GENEROUS
        )
        refused(engine, shell, "TLS failed")


@BOTH
def test_a_silent_handshake_ends_at_the_deadline(authority, shell):
    with chaos(lambda peer: peer.wait(GENEROUS)) as silent:
        engine = SidecarEngine(
            silent.address.replace("http", "https"), tls=TLS(authority.file), deadline=0.2
        )
        refused(engine, shell, "deadline passed")


@pytest.mark.opa
@BOTH
def test_mutual_tls(mutual, authority, other, shell):
    certificate, key = authority.sign("client")
    address = f"https://localhost:{mutual.port}"
    engine = SidecarEngine(address, tls=TLS(authority.file, certificate, key), deadline=GENEROUS)
    assert ask(engine, shell).effect is Effect.ALLOW
    engine.close()
    without = SidecarEngine(address, tls=TLS(authority.file), deadline=GENEROUS)
    refused(without, shell, "TLS failed|connection closed")
    wrong = SidecarEngine(
        address, tls=TLS(authority.file, *other.sign("stranger")), deadline=GENEROUS
    )
    refused(wrong, shell, "TLS failed|connection closed")


@pytest.mark.opa
def test_administration_over_mutual_tls(mutual, authority, other):
    address = f"https://localhost:{mutual.port}"
    tls = TLS(authority.file, *authority.sign("operator"))
    with Administration(address, tls=tls, timeout=GENEROUS) as administration:
        assert administration.is_healthy()
        assert administration.version() >= "1.17"
    for wrong in (TLS(authority.file), TLS(other.file, tls.certificate, tls.key)):
        with (
            Administration(address, tls=wrong, timeout=GENEROUS) as administration,
            pytest.raises(PolicyUnavailable, match="cannot be administered"),
        ):
            administration.version()


@pytest.mark.opa
def test_new_files_are_used_for_new_connections(server, authority, other, tmp_path):
    file = tmp_path / "ca.pem"
    shutil.copy(other.file, file)
    engine = SidecarEngine(
        f"https://localhost:{server.port}", tls=TLS(str(file)), deadline=GENEROUS
    )
    refused(engine, "sync", "TLS failed")
    shutil.copy(authority.file, tmp_path / "new")
    (tmp_path / "new").replace(file)
    assert ask(engine, "sync").effect is Effect.ALLOW
    engine.close()
    file.write_text("nothing")
    refused(engine, "sync", r"TLS failed \(`.*ca.pem` holds no certificates")


def test_files_that_cannot_be_used(authority, tmp_path):
    certificate, key = authority.sign("someone")
    (tmp_path / "x").write_text("x")
    for tls, match in (
        (lambda: TLS(str(tmp_path / "none")), "cannot be read: No such file"),
        (lambda: TLS(str(tmp_path / "x")), "holds no certificates to trust"),
        (lambda: TLS(certificate=str(tmp_path / "x")), "its key cannot be used"),
        (lambda: TLS(certificate=certificate), "its key cannot be used"),
        (lambda: TLS(key=key), "is the key of a `certificate`"),
    ):
        with pytest.raises(ConfigError, match=match):
            SidecarEngine("https://localhost", tls=tls())
=======
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
>>>>>>> 53c6540 (Tests of the bundle service's client, its faults, TLS, persistence, and the campaign of bad bundles under load)
