"""JSON Web Tokens and certificates: what is signed verifies, nothing else does, and OPA agrees."""

from __future__ import annotations

import base64
import functools
import ipaddress
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import PolicyLoadError
from guardrails.rego import Program
from guardrails.rego.builtins import BUILTINS, BuiltinError, EvaluationContext, extras
from guardrails.rego.values import equal, from_json

ROOT = Path(__file__).resolve().parents[2]
NOW_S = 1_700_000_000
NO_TOKEN = [False, {}, {}]

RSA_KEY = rsa.generate_private_key(65537, 2048)
KEYS = {
    "RS256": RSA_KEY,
    "RS384": RSA_KEY,
    "RS512": RSA_KEY,
    "PS256": RSA_KEY,
    "PS384": RSA_KEY,
    "PS512": RSA_KEY,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
SECRET = "a secret of some length, for no purpose"
FORMS = ("jwk", "jwks", "pem", "certificate")


def call(name, *arguments):
    entry = BUILTINS[name]
    context = (EvaluationContext(lambda: NOW_S * 10**9),) if entry.needs_context else ()
    return entry.call(*context, *arguments)


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key):
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form).decode()


@functools.cache
def jwk(key):
    return call("crypto.x509.parse_rsa_private_key", private_pem(key))


def public_jwk(key):
    return {
        field: jwk(key)[field] for field in ("kty", "crv", "x", "y", "n", "e") if field in jwk(key)
    }


def name_of(common):
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, common)])


def certified(key, *, subject="leaf", by=RSA_KEY, ca=False, extensions=()):
    """A certificate for `key`, valid for a day around :data:`NOW_S`."""
    now = datetime.fromtimestamp(NOW_S, UTC)
    day = timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(subject))
        .issuer_name(name_of("root"))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if ca:
        uses = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        usage = x509.KeyUsage(**uses, key_cert_sign=True, crl_sign=True)
        builder = builder.add_extension(usage, critical=True)
    for extension in extensions:
        builder = builder.add_extension(
            extension, critical=isinstance(extension, x509.UnrecognizedExtension)
        )
    return builder.sign(by, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


ROOT_PEM = certified(RSA_KEY, subject="root", ca=True)


@functools.cache
def verifying(algorithm, form):
    key = KEYS[algorithm]
    if form == "jwk":
        return json.dumps(public_jwk(key))
    if form == "jwks":
        other = {"kty": "oct", "k": "c2VjcmV0", "kid": "other"}
        return json.dumps({"keys": [other, {**public_jwk(key), "alg": algorithm, "kid": "k"}]})
    return public_pem(key) if form == "pem" else certified(key)


@functools.cache
def token_of(algorithm, claims="{}", header="{}"):
    key = (
        {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")}
        if algorithm.startswith("HS")
        else jwk(KEYS[algorithm])
    )
    headers = {"alg": algorithm, **json.loads(header)}
    return call("io.jwt.encode_sign", headers, from_json(json.loads(claims)), key)


def verified(token, **constraints):
    return call("io.jwt.decode_verify", token, from_json(constraints))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("algorithm", KEYS)
def test_what_a_key_signed_verifies_with_its_public_half(algorithm, form):
    token = token_of(algorithm, '{"sub": "ann"}')
    key = verifying(algorithm, form)
    assert call(f"io.jwt.verify_{algorithm.lower()}", token, key) is True
    assert verified(token, cert=key) == [True, {"alg": algorithm}, {"sub": "ann"}]


@pytest.mark.parametrize("bits", [256, 384, 512])
def test_what_a_secret_signed_verifies_with_the_secret(bits):
    token = token_of(f"HS{bits}")
    assert call(f"io.jwt.verify_hs{bits}", token, SECRET) is True
    assert call(f"io.jwt.verify_hs{bits}", token, SECRET + "!") is False
    assert verified(token, secret=SECRET)[0] is True
    assert verified(token, secret=SECRET + "!") == NO_TOKEN


@given(st.sampled_from(sorted(KEYS)), st.sampled_from(sorted(KEYS)), st.sampled_from(FORMS))
def test_another_algorithm_never_verifies(signed, wanted, form):
    token = token_of(signed)
    done = call(f"io.jwt.verify_{wanted.lower()}", token, verifying(wanted, form))
    assert done is (signed == wanted)


@given(st.sampled_from(sorted(KEYS)), st.integers(min_value=0), st.integers(1, 255))
def test_no_changed_byte_of_a_signature_verifies(algorithm, place, change):
    head, body, signature = token_of(algorithm).split(".")
    data = bytearray(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    data[place % len(data)] ^= change
    forged = f"{head}.{body}.{base64.urlsafe_b64encode(bytes(data)).decode().rstrip('=')}"
    assert verified(forged, cert=verifying(algorithm, "pem")) == NO_TOKEN


@pytest.mark.parametrize("form", FORMS)
def test_a_public_key_is_no_secret(form):
    key = verifying("RS256", form)
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")}
    forged = call("io.jwt.encode_sign", {"alg": "HS256"}, {"admin": True}, secret)
    assert verified(forged, cert=key) == NO_TOKEN
    assert call("io.jwt.verify_rs256", forged, key) is False


@pytest.mark.parametrize("algorithm", ["none", "None", "", "HS1", "RS256 "])
def test_an_unknown_algorithm_never_verifies(algorithm):
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm}).encode()).decode().rstrip("=")
    for key in ({"secret": SECRET}, {"cert": verifying("RS256", "jwk")}):
        assert verified(f"{header}.e30.", **key) == NO_TOKEN


CLAIMS: list[tuple[str, dict[str, Any], bool]] = [
    ("{}", {}, True),
    ("{}", {"iss": "us"}, False),
    ('{"iss": "us"}', {"iss": "us"}, True),
    ('{"iss": "them"}', {"iss": "us"}, False),
    ('{"iss": "them"}', {}, True),
    ('{"aud": "us"}', {}, False),
    ('{"aud": "us"}', {"aud": "us"}, True),
    ('{"aud": ["them", "us"]}', {"aud": "us"}, True),
    ('{"aud": ["them"]}', {"aud": "us"}, False),
    ('{"aud": 1}', {"aud": "us"}, False),
    ("{}", {"aud": "us"}, False),
    ("{}", {"alg": "HS256"}, True),
    ("{}", {"alg": "HS384"}, False),
    (f'{{"exp": {NOW_S}}}', {}, False),
    (f'{{"exp": {NOW_S + 1}}}', {}, True),
    (f'{{"exp": {NOW_S + 1}}}', {"time": (NOW_S + 1) * 10**9}, False),
    (f'{{"nbf": {NOW_S}}}', {}, True),
    (f'{{"nbf": {NOW_S + 1}}}', {}, False),
    (f'{{"nbf": {NOW_S + 1}}}', {"time": (NOW_S + 1) * 10**9}, True),
]


@pytest.mark.parametrize(("claims", "constraints", "good"), CLAIMS)
def test_every_constraint_must_be_fulfilled(claims, constraints, good):
    done = verified(token_of("HS256", claims), secret=SECRET, **constraints)
    assert done == ([True, {"alg": "HS256"}, json.loads(claims)] if good else NO_TOKEN)


@pytest.mark.parametrize(
    ("claims", "constraints", "message"),
    [
        ("{}", {}, "no key constraint"),
        ("{}", {"secret": ""}, "no key constraint"),
        ("{}", {"secret": SECRET, "cert": '{"keys": []}'}, "duplicate key constraints"),
        ("{}", {"secret": SECRET, "issuer": "us"}, "unknown token validation constraint: issuer"),
        ("{}", {"secret": 1}, "secret constraint: must be a string"),
        ("{}", {"secret": SECRET, "time": "now"}, "time constraint: must be a number"),
        ("{}", {"secret": SECRET, "time": -1}, "must not be negative"),
        ("{}", {"cert": "no key"}, "failed to parse a JWK key"),
        ('{"exp": "soon"}', {"secret": SECRET}, "exp value must be a number"),
        ('{"nbf": null}', {"secret": SECRET}, "nbf value must be a number"),
    ],
)
def test_bad_constraints_and_claims_are_refused(claims, constraints, message):
    with pytest.raises(BuiltinError, match=message):
        verified(token_of("HS256", claims), **constraints)


def test_a_critical_header_that_nobody_reads_is_refused():
    assert verified(token_of("HS256", "{}", '{"crit": ["x"], "x": 1}'), secret=SECRET) == NO_TOKEN


@given(st.text() | st.binary().map(lambda data: "a." + data.hex() + ".b"))
def test_junk_is_refused_never_accepted(text):
    with pytest.raises(BuiltinError):
        verified(text, secret=SECRET)


LEAF_USES = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CODE_SIGNING])
UNREAD = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


@pytest.mark.parametrize(
    ("chain", "good"),
    [
        (ROOT_PEM + certified(KEYS["ES256"]), True),
        (certified(KEYS["ES256"]), False),
        (ROOT_PEM + certified(KEYS["ES256"], by=KEYS["ES384"]), False),
        (ROOT_PEM + certified(KEYS["ES256"], extensions=[LEAF_USES]), False),
        (ROOT_PEM + certified(KEYS["ES256"], extensions=[UNREAD]), False),
        (certified(RSA_KEY, subject="root") + certified(KEYS["ES256"]), False),
        ("no certificates", False),
    ],
)
def test_only_a_whole_chain_is_verified(chain, good):
    done, shown = call("crypto.x509.parse_and_verify_certificates", chain)
    assert done is good
    assert [cert["Subject"]["CommonName"] for cert in shown] == (["leaf", "root"] if good else [])


def test_a_chain_ends_with_its_time():
    entry = BUILTINS["crypto.x509.parse_and_verify_certificates"]
    chain = ROOT_PEM + certified(KEYS["ES256"])
    for days, good in ((0, True), (-2, False), (2, False)):
        context = EvaluationContext(functools.partial(int, (NOW_S + days * 86_400) * 10**9))
        assert entry.call(context, chain)[0] is good


SERVER_USES = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
NAMES = x509.SubjectAlternativeName(
    [
        x509.DNSName("*.Example.com"),
        x509.DNSName("host"),
        x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
)
AT = NOW_S * 10**9
OPTIONS: list[tuple[dict[str, Any], bool | None]] = [
    ({}, True),
    ({"CurrentTime": AT}, True),
    ({"CurrentTime": AT + 2 * 86_400 * 10**9}, False),
    ({"CurrentTime": 1}, False),
    ({"KeyUsages": ["KeyUsageServerAuth"]}, True),
    ({"KeyUsages": ["KeyUsageCodeSigning"]}, False),
    ({"KeyUsages": ["KeyUsageCodeSigning", '"KeyUsageServerAuth"']}, True),
    ({"KeyUsages": ["KeyUsageAny"]}, True),
    ({"KeyUsages": []}, True),
    ({"KeyUsages": [1]}, True),
    ({"KeyUsages": ["Any"]}, None),
    ({"KeyUsages": "KeyUsageAny"}, None),
    ({"DNSName": "a.example.COM"}, True),
    ({"DNSName": "a.example.com."}, True),
    ({"DNSName": "a.b.example.com"}, False),
    ({"DNSName": "example.com"}, False),
    ({"DNSName": "*.example.com"}, True),
    ({"DNSName": "host"}, True),
    ({"DNSName": '"host"'}, True),
    ({"DNSName": "-host"}, False),
    ({"DNSName": "leaf"}, False),
    ({"DNSName": "10.0.0.1"}, True),
    ({"DNSName": "[10.0.0.1]"}, True),
    ({"DNSName": "::ffff:10.0.0.1"}, True),
    ({"DNSName": "[::1]"}, True),
    ({"DNSName": "10.0.0.2"}, False),
    ({"DNSName": "::1%1"}, False),
    ({"DNSName": ""}, True),
    ({"DNSName": 1}, None),
    ({"MaxConstraintComparisons": 5}, True),
    ({"MaxConstraintComparisons": "5"}, None),
    ({"CurrentTime": 1.5}, None),
    ({"CurrentTime": "1"}, None),
    ({"Roots": []}, None),
]
NAMED_CHAIN = ROOT_PEM + certified(KEYS["ES256"], extensions=[SERVER_USES, NAMES])


@pytest.mark.parametrize(("options", "good"), OPTIONS)
def test_a_verification_does_what_its_options_say(options, good):
    entry = BUILTINS["crypto.x509.parse_and_verify_certificates_with_options"]
    context = EvaluationContext(lambda: AT)
    if good is None:
        with pytest.raises(BuiltinError):
            entry.call(context, NAMED_CHAIN, from_json(options))
        assert entry.call(context, "no certificates", from_json(options)) == [False, []]
        return
    done, shown = entry.call(context, NAMED_CHAIN, from_json(options))
    assert done is good
    assert [cert["Subject"]["CommonName"] for cert in shown] == (["leaf", "root"] if good else [])


def test_nothing_heavy_is_loaded_before_it_is_called():
    code = "import sys, guardrails.rego; sys.exit('cryptography' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_extra_is_refused_at_load(monkeypatch):
    monkeypatch.setattr(extras, "PACKAGES", {"jwt": ("no_such_package",)})
    source = "package p\n\nr := io.jwt.decode(input.token)\n"
    with pytest.raises(PolicyLoadError, match=r"needs the extra `jwt`: pip install") as caught:
        Program.from_modules({"p.rego": source}, ["p/r"])
    assert "`io.jwt.decode`" in str(caught.value)
    assert "guardrails-opa[jwt]" in str(caught.value)
    assert "p.rego:3" in str(caught.value)


def find_opa():
    for candidate in (os.environ.get("OPA"), ROOT / ".tools" / "opa", shutil.which("opa")):
        if candidate and Path(candidate).is_file():
            return str(candidate)
    return None


def calls():
    """Calls whose result does not depend on the time."""
    at = {"time": NOW_S * 10**9}
    found: list[tuple[Any, ...]] = [
        ("io.jwt.decode_verify", token_of("HS256", claims), {"secret": SECRET, **at, **more})
        for claims, more, _good in CLAIMS
    ]
    for algorithm, whole in KEYS.items():
        token = token_of(algorithm, '{"sub": "<&>"}', '{"kid": "k"}')
        found.append(("io.jwt.decode", token))
        for form in FORMS:
            key = verifying(algorithm, form)
            found.append((f"io.jwt.verify_{algorithm.lower()}", token, key))
            found.append(("io.jwt.verify_es256", token, key))
            found.append(("io.jwt.decode_verify", token, {"cert": key}))
            found.append(("io.jwt.decode_verify", token_of("HS256"), {"cert": key}))
        found.append(("crypto.x509.parse_certificates", verifying(algorithm, "certificate")))
        found.append(("crypto.parse_private_keys", private_pem(whole)))
        found.append(("crypto.x509.parse_rsa_private_key", private_pem(whole)))
        own = (verifying(algorithm, "certificate"), private_pem(whole))
        found.append(("crypto.x509.parse_keypair", *own))
        found.append(("crypto.x509.parse_keypair", ROOT_PEM, own[1]))
    found += [("io.jwt.decode", text) for text in ("", ".", "..", "a.b.c", "e30.e30.", "e30.W10.")]
    options = "crypto.x509.parse_and_verify_certificates_with_options"
    found += [
        (options, chain, {"CurrentTime": AT, **asked})
        for asked, _good in OPTIONS
        for chain in (NAMED_CHAIN, ROOT_PEM + certified(KEYS["ES256"]), ROOT_PEM, "junk")
    ]
    secret = {"kty": "oct", "k": "c2VjcmV0"}
    found += [
        ("io.jwt.encode_sign", headers, {"a": [1.5, "<"], "b": None}, secret)
        for headers in ({}, {"alg": "HS512"}, {"alg": "RS256"}, {"alg": "no"}, {"alg": 1})
    ]
    return found


@pytest.mark.opa
def test_opa_says_the_same(tmp_path):
    opa = find_opa()
    if opa is None:
        assert os.environ.get("CI") != "true", "no OPA binary"
        pytest.skip("no OPA binary")
    table = calls()
    rules = [
        f"r{place} := {name}({', '.join(f'input[{place}][{n}]' for n in range(len(arguments)))})"
        for place, (name, *arguments) in enumerate(table)
    ]
    (tmp_path / "p.rego").write_text("package p\n\n" + "\n\n".join(rules) + "\n")
    (tmp_path / "input.json").write_text(json.dumps([arguments for _name, *arguments in table]))
    command = [opa, "eval", "-f", "raw", "-d", "p.rego", "-i", "input.json", "data.p"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    theirs = json.loads(done.stdout)
    assert len(theirs) > len(table) / 2
    for place, (name, *arguments) in enumerate(table):
        try:
            ours = call(name, *map(from_json, arguments))
        except BuiltinError:
            assert f"r{place}" not in theirs, (name, arguments)
        else:
            assert f"r{place}" in theirs, (name, arguments)
            assert equal(ours, from_json(theirs[f"r{place}"])), (name, arguments)
