"""The shipped ``system.authz`` on a real OPA: decisions and health for everybody, no more.

Requests are raw bytes: no client tidies a path on its way.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
import subprocess
import time
from decimal import Decimal
from pathlib import Path

import pytest
from tests.opa.opa_process import running

from guardrails.engines.sidecar import SidecarEngine
from guardrails.errors import PolicyLoadError, PolicyUnavailable
from guardrails.model.decision import Effect
from guardrails.opa.administration import Administration
from guardrails.opa.token import Token
from guardrails.rego.sources import find_sources
from guardrails.rego.testing import run_tests
from guardrails.resources import policies_directory

pytestmark = pytest.mark.opa

TOKEN = "an-administration-token.of-the-test"
GENEROUS = 30.0
SECRET = "salary-of-dana"
LIBRARY = """package guardrails

decision := {"effect": "allow", "reasons": [], "approvals": [], "obligations": []} if {
	data.guardrails_data.secret == "salary-of-dana"
}
"""
OPTIONS = ["--authentication=token", "--authorization=basic", "--pprof"]
DECIDE = "/v1/data/guardrails/decision"


def authz():
    return (policies_directory() / "system" / "authz.rego").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(opa, tmp_path_factory):
    folder = tmp_path_factory.mktemp("authz")
    modules = {
        "authz.rego": authz(),
        "library.rego": LIBRARY,
        "data.json": json.dumps({"guardrails_data": {"secret": SECRET}}),
    }
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    environment = {"GUARDRAILS_OPA_TOKEN_SHA256": f"{'0' * 64}, {digest.upper()}"}
    with running(opa, folder, modules, OPTIONS, environment) as started:
        yield started


def raw(server, method, target, body=b"", headers=""):
    """The status and the whole text of the response, on a connection of its own."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(GENEROUS)
        client.connect(server.socket_path)
        client.sendall(
            f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        text = b""
        while data := client.recv(65_536):
            text += data
    return int(text.split(b" ", 2)[1]), text.decode(errors="replace")


def bearer(token):
    return f"Authorization: Bearer {token}\r\n"


INPUT = b'{"input": {}}'
QUERY = b'{"query": "x = data.guardrails_data", "unknowns": ["input"]}'
FORBIDDEN = [
    # what only an administrator does
    ("PUT", "/v1/policies/library.rego", b"package guardrails\ndecision := true"),
    ("PUT", "/v1/policies/authz.rego", b"package system.authz\nallow := true"),
    ("DELETE", "/v1/policies/authz.rego", b""),
    ("GET", "/v1/policies", b""),
    ("GET", "/v1/policies/library.rego", b""),
    ("GET", "/v1/data", b""),
    ("GET", "/v1/data/guardrails_data", b""),
    ("POST", "/v1/data", INPUT),
    ("POST", "/v1/data/", INPUT),
    ("POST", "/v1/data/guardrails_data", INPUT),
    ("POST", "/v1/data/guardrails", INPUT),
    ("POST", "/v1/data/system/authz", INPUT),
    ("POST", "/v0/data", INPUT),
    ("POST", "/v0/data/guardrails_data", INPUT),
    ("POST", "/v0/data/guardrails/decision", INPUT),
    ("PUT", "/v1/data/guardrails_data", b"{}"),
    ("PATCH", "/v1/data/guardrails_data", b'[{"op": "remove", "path": "secret"}]'),
    ("DELETE", "/v1/data/guardrails_data", b""),
    ("GET", "/v1/query?q=x=data", b""),
    ("POST", "/v1/query", QUERY),
    ("POST", "/v1/compile", QUERY),
    ("POST", "/v1/compile/guardrails/decision", QUERY),
    ("GET", "/v1/config", b""),
    ("GET", "/v1/status", b""),
    ("GET", "/metrics", b""),
    ("GET", "/debug/pprof", b""),
    ("GET", "/debug/pprof/", b""),
    ("GET", "/debug/pprof/heap", b""),
    ("GET", "/debug/pprof/cmdline", b""),
    ("POST", "/", INPUT),
    ("GET", "/", b""),
    # the decision's path by another method, with another query, or nearly
    ("GET", DECIDE, b""),
    ("GET", f"{DECIDE}?input=%7B%7D", b""),
    ("HEAD", DECIDE, b""),
    ("PUT", DECIDE, b"{}"),
    ("PATCH", DECIDE, b"[]"),
    ("DELETE", DECIDE, b""),
    ("OPTIONS", DECIDE, b""),
    ("post", DECIDE, INPUT),
    ("POST", f"{DECIDE}?explain=full", INPUT),
    ("POST", f"{DECIDE}?explain=off&explain=full", INPUT),
    ("POST", f"{DECIDE}?provenance=true&explain=notes", INPUT),
    ("POST", f"{DECIDE}?%65xplain=full", INPUT),
    ("POST", f"{DECIDE}?instrument=true", INPUT),
    ("POST", f"{DECIDE}?metrics=true", INPUT),
    ("POST", f"{DECIDE}?watch", INPUT),
    ("POST", f"/{DECIDE}", INPUT),
    ("POST", f"{DECIDE}/", INPUT),
    ("POST", f"{DECIDE}//", INPUT),
    ("POST", f"{DECIDE}/..", INPUT),
    ("POST", f"{DECIDE}/../..", INPUT),
    ("POST", f"{DECIDE}/../../guardrails_data", INPUT),
    ("POST", f"{DECIDE}/%2e%2e/%2e%2e/guardrails_data", INPUT),
    ("POST", f"{DECIDE}%2f..%2f..%2fguardrails_data", INPUT),
    ("POST", f"{DECIDE}/reasons", INPUT),
    ("POST", f"{DECIDE}%00", INPUT),
    ("POST", f"{DECIDE}%20", INPUT),
    ("POST", f"{DECIDE};x", INPUT),
    ("POST", "/v1/data/guardrails/Decision", INPUT),
    ("POST", "/V1/data/guardrails/decision", INPUT),
    ("POST", "/v1//data/guardrails/decision", INPUT),
    ("POST", "/./v1/data/guardrails/decision", INPUT),
    ("POST", "/x/../v1/data/guardrails_data", INPUT),
    ("POST", "/health/../v1/data/guardrails_data", INPUT),
    ("GET", "/health/../v1/data/guardrails_data", b""),
    ("GET", "/health/..%2fv1%2fdata%2fguardrails_data", b""),
    ("GET", "//health", b""),
    ("GET", "/health/live/x", b""),
    ("POST", "/health", b""),
    ("GET", "/metrics?x=/health", b""),
]

REFUSED = {401, 403}
NOT_SERVED = {400, 404, 405}
"""By the router, before anybody is asked."""


def is_not_served(method, target, status, text):
    """Whether the router itself turned the request away.

    It redirects to a tidy path, at which the policy is asked, and has nothing for some methods.
    """
    is_untidy = target.partition("?")[0].endswith("/")
    if is_untidy and status in {301, 307, 308}:
        return text.partition("\r\n\r\n")[2] == "" or method == "GET"
    return method in {"HEAD", "post"} and status in NOT_SERVED


@pytest.mark.parametrize("method,target,body", FORBIDDEN)  # noqa: PT006  # reads like a request line
def test_without_the_token_it_is_refused(server, method, target, body):
    tokens = ["", bearer("wrong"), bearer(""), "Authorization: Basic YTpi\r\n", bearer("0" * 64)]
    tokens.append(bearer(hashlib.sha256(TOKEN.encode()).hexdigest()))
    for headers in tokens:
        status, text = raw(server, method, target, body, headers)
        assert status in REFUSED or is_not_served(method, target, status, text), (headers, text)
        assert SECRET not in text
        assert '"effect"' not in text
    # and nothing was changed
    status, text = raw(server, "POST", DECIDE, INPUT)
    assert status == 200
    assert '"effect":"allow"' in text


@pytest.mark.parametrize(
    "target",
    [
        "/v1/data%2fguardrails/decision", "/v1/data/guardrails%2fdecision",
        "/v1%2fdata/guardrails/decision", "/v1/data/guardrails/%64ecision",
        "/%76%31/data/guardrails/decision",
    ],
)  # fmt: skip
def test_another_spelling_of_the_path_gets_at_most_the_decision(server, target):
    """OPA decodes before it asks; what it then serves is the decision, or nothing."""
    status, text = raw(server, "POST", target, INPUT)
    assert SECRET not in text
    body = text.partition("\r\n\r\n")[2]
    assert status in REFUSED | NOT_SERVED or re.fullmatch(
        r'\{\}\s*|\{"result":\{"approvals":\[\],"effect":"allow",[^{}]*\}\}\s*', body
    )


@pytest.mark.parametrize("target", ["*", "http://localhost/v1/policies", "v1/policies", "/\x7f"])
def test_odd_request_targets(server, target):
    for method in ("GET", "PUT", "OPTIONS", "CONNECT"):
        status, text = raw(server, method, target, b"package x")
        assert status in REFUSED | NOT_SERVED or "Content-Length: 0" in text
        assert "library.rego" not in text


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override: PUT", "X-Original-URL: /v1/policies"])
def test_a_header_changes_neither_method_nor_path(server, name):
    status, text = raw(server, "POST", DECIDE, INPUT, f"{name}\r\n")
    assert status == 200
    assert '"effect":"allow"' in text


def test_everybody_gets_decisions_and_health(server):
    for target in ("/health", "/health?bundles=true&plugins=true"):
        assert raw(server, "GET", target)[0] == 200
    for query in ("", "?strict-builtin-errors=true", "?provenance=true&strict-builtin-errors=true"):
        status, text = raw(server, "POST", DECIDE + query, INPUT)
        assert status == 200
        assert '"effect":"allow"' in text


def test_the_bearer_of_the_token_gets_everything(server):
    for method, target, body in (
        ("GET", "/v1/policies", b""),
        ("GET", "/v1/config", b""),
        ("GET", "/metrics", b""),
        ("POST", f"{DECIDE}?explain=full", INPUT),
        ("POST", "/v1/query", QUERY),
    ):
        assert raw(server, method, target, body, bearer(TOKEN))[0] == 200


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_the_engine_decides_without_a_token(server, kind):
    engine = SidecarEngine(getattr(server, kind), deadline=GENEROUS)
    assert engine.decide({}, "d").effect is Effect.ALLOW
    assert asyncio.run(engine.decide_async({}, "d")).effect is Effect.ALLOW
    assert engine.probe().opa_version >= "1.17"
    assert engine.explain({}) == (), "an explanation is for the bearer of the token"
    engine.close()


def test_an_engine_with_a_wrong_token_decides_as_one_without(server):
    engine = SidecarEngine(server.unix, token=Token.of_value("wrong"), deadline=GENEROUS)
    assert engine.decide({}, "d").effect is Effect.ALLOW
    engine.close()


def test_the_administrator(server):
    numbers = {"big": 2**70, "exact": Decimal("0.1000000000000000055511151231257827"), "é": None}
    for address in (server.tcp, server.unix):
        with Administration(address, token=Token.of_value(TOKEN), timeout=GENEROUS) as known:
            known.wait_until_ready(GENEROUS)
            assert known.is_healthy(bundles=True, plugins=True)
            assert known.version() >= "1.17"
            before = known.policies()
            known.put_policy("mine/a.rego", "package mine\n\nx := data.more.numbers")
            assert set(known.policies()) == {*before, "mine/a.rego"}
            known.put_data("more/numbers", numbers)
            _, text = raw(server, "POST", "/v1/data/mine/x", b"{}", bearer(TOKEN))
            found = json.loads(text.partition("\r\n\r\n")[2], parse_float=Decimal)["result"]
            assert found == numbers
            assert "0.1000000000000000055511151231257827" in text
            known.delete_policy("mine/a.rego")
            assert known.policies() == before
            with pytest.raises(PolicyLoadError, match=r"mine/a\.rego"):
                known.delete_policy("mine/a.rego")
            with pytest.raises(PolicyLoadError, match=r"b.rego:3:\d+: rego_parse_error") as caught:
                known.put_policy("b.rego", "package b\n\nx = {")
            assert (caught.value.file, caught.value.row) == ("b.rego", 3)
            with pytest.raises(PolicyLoadError, match="rego_parse_error"):
                known.put_policy("c.rego", "package c\n\nallow { true }")  # never rewritten for it
            with pytest.raises(PolicyLoadError, match="has no exact JSON form"):
                known.put_data("more", {"x": Decimal("NaN")})
            for path in ("..", "a/../b", "", "/a", "a//b", "a?x", "a b", "ä", "a%2fb"):
                with pytest.raises(PolicyLoadError, match="is no p"):
                    known.put_policy(path, "package x")
                with pytest.raises(PolicyLoadError, match="is no p"):
                    known.put_data(path, {})


@pytest.mark.parametrize("token", [None, Token.of_value("wrong")])
def test_nobody_else_administers(server, token):
    with Administration(server.tcp, token=token, timeout=GENEROUS) as other:
        assert other.is_healthy()
        for act in (
            other.policies,
            other.version,
            lambda: other.put_policy("a", "package a"),
            lambda: other.put_data("a", {}),
            lambda: other.delete_policy("authz.rego"),
        ):
            with pytest.raises(PolicyUnavailable, match=r"40[13]: not authorized"):
                act()


def test_a_server_that_is_not_there_is_an_error_of_ours(tmp_path):
    for address in ("http://127.0.0.1:1", f"unix://{tmp_path}/none"[:100]):
        with Administration(address, timeout=1.0) as nobody:
            assert nobody.is_healthy() is False
            with pytest.raises(PolicyUnavailable, match="cannot be administered"):
                nobody.policies()
            with pytest.raises(PolicyUnavailable, match="did not become healthy"):
                nobody.wait_until_ready(0.01)


@pytest.mark.parametrize("digest", [None, "", " ", ",", hashlib.sha256(b"").hexdigest(), "0" * 63])
def test_without_a_usable_digest_nobody_administers(opa, tmp_path, digest):
    environment = {} if digest is None else {"GUARDRAILS_OPA_TOKEN_SHA256": digest}
    modules = {"authz.rego": authz(), "library.rego": LIBRARY}
    with running(opa, tmp_path, modules, OPTIONS, environment) as server:
        for token in ("", bearer(TOKEN), bearer(""), "Authorization: Bearer\r\n", bearer(digest)):
            assert raw(server, "GET", "/v1/policies", b"", token)[0] in REFUSED
        assert raw(server, "GET", "/health")[0] == 200


def test_it_is_in_no_layer_of_the_library():
    folder = policies_directory()
    library = find_sources([folder / "guardrails", folder / "data.yaml", folder / "presets"])
    assert library.modules
    assert not [name for name, text in library.modules.items() if "package system" in text]
    assert [path.name for path in Path(folder / "system").iterdir()].count("authz.rego") == 1


def test_a_bundle_that_claims_everything_takes_authz_away_and_opens_nothing(opa, tmp_path):
    """Its root is "", as without a manifest: it replaces all policies, those of files too."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "library.rego").write_text(LIBRARY)
    subprocess.run([opa, "build", "-b", "b", "-o", "bundle.tar.gz"], cwd=tmp_path, check=True)
    option = f"--set=bundles.library.resource=file://{tmp_path}/bundle.tar.gz"
    environment = {"GUARDRAILS_OPA_TOKEN_SHA256": hashlib.sha256(TOKEN.encode()).hexdigest()}
    modules = {"authz.rego": authz()}
    with running(opa, tmp_path, modules, [*OPTIONS, option], environment) as server:
        until = time.monotonic() + GENEROUS
        while raw(server, "GET", "/health")[0] == 200:
            assert time.monotonic() < until
        for method, target, body in FORBIDDEN[:8]:
            assert raw(server, method, target, body)[0] >= 400
            assert raw(server, method, target, body, bearer(TOKEN))[0] >= 400
        engine = SidecarEngine(server.unix, deadline=GENEROUS)
        with pytest.raises(PolicyUnavailable, match="server error"):
            engine.decide({}, "d")


def test_its_own_tests_pass_with_and_without_an_opa(opa):
    folder = policies_directory() / "system"
    for use_opa, engines in ((False, ("guardrails",)), (True, ("guardrails", "opa"))):
        results = run_tests([folder], opa=opa, use_opa=use_opa)
        assert len(results) >= 10
        assert {(each.outcome, each.engines) for each in results} == {("pass", engines)}, results
