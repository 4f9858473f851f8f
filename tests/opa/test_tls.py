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
