"""A bundle is taken if a configured key signed exactly its files; OPA says the same."""

from __future__ import annotations

import hashlib
import json
import subprocess
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization import PublicFormat as Public
from hypothesis import given
from hypothesis import strategies as st
from tests.opa.archives import SECRET, claims_of, packed, policy_files, signed, token

from guardrails.errors import ConfigError, PolicyLoadError
from guardrails.opa import keys
from guardrails.opa.digests import digest
from guardrails.opa.keys import ALGORITHMS, Verification, VerificationKey
from guardrails.opa.signatures import told_signature, verify
from guardrails.rego.archive import read_archive, read_directory

CURVES: dict[str, Any] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}

FILES = {
    **policy_files("r1"),
    "guardrails_data/more/data.json": (
        '{"a": 1e3, "b": 1.0, "c": 123456789012345678901234567890, "d": "<>& \\u2028'
        '\\u2029 é \\u00e9 \\b\\f\\n\\u0001 \x7f \\/", "e": [], "f": {}, "z": 1E+2,'
        ' "y": -0, "x": 0.10, "k": true,'
        ' "n": null, "\\u20ac": 1, "\\ud83d\\ude00": 2, "\\uffff": 3, "": 4}'
    ).encode(),
    "guardrails_data/yaml/data.yaml": (
        b"a: 1e3\nb: 1.0\nc: 123456789012345678901234567890\nd: 1.5e21\ne: 1.5e-7\nf: 0.000001\n"
        b'yes: no\ng: 2024-01-01\nh: 017\ni: "<>&"\nj: 12345678901234567890\nl: .5\n'
        b"m: &x [1]\nn: *x\n"
    ),
    "guardrails_data/yml/data.yml": b"a: 1\n",
    "README.md": b"also signed",
}
KEY = Verification({"default": VerificationKey(SECRET, "HS256")})
SIGNED = signed(FILES)


@cache
def pair(algorithm: str) -> tuple[str, str]:
    """A private and a public key in PEM; the secret, twice."""
    if algorithm.startswith("HS"):
        return SECRET, SECRET
    private: Any = (
        ec.generate_private_key(CURVES[algorithm]())
        if algorithm in CURVES
        else rsa.generate_private_key(65537, 2048)
    )
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, Public.SubjectPublicKeyInfo)
    return pem.decode(), public.decode()


def written(folder, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def refused(files: dict[str, bytes], verification: Verification | None = KEY) -> str:
    with pytest.raises(PolicyLoadError) as caught:
        verify(files, verification, "b.tar.gz")
    assert SECRET not in str(caught.value)
    return caught.value.message


@pytest.mark.opa
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("target", ["rego", "plan", "directory"])
def test_what_opa_signs_is_taken(algorithm, target, opa, tmp_path) -> None:
    private, public = pair(algorithm)
    (tmp_path / "key.pem").write_text(private)
    written(tmp_path / "d", FILES)
    signing = ["--signing-alg", algorithm, "--signing-key", str(tmp_path / "key.pem")]
    if target == "directory":
        command = [opa, "sign", "-b", ".", "-o", ".", *signing]
        subprocess.run(command, cwd=tmp_path / "d", check=True, timeout=60)
        files = read_directory(tmp_path / "d")
    else:
        entry = ["-t", "plan", "-e", "guardrails/decision"] if target == "plan" else []
        command = [opa, "build", "-b", "d", "-o", "b.tar.gz", *entry, *signing]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
        files = read_archive((tmp_path / "b.tar.gz").read_bytes(), "b")
    key = Verification({"default": VerificationKey(public, algorithm)}, "default")
    found = verify(files, key, "b")
    assert found is not None
    assert (found.keyid, found.algorithm) == ("default", algorithm)
    assert told_signature(files, "b")["files"] == len(files) - 1


def changed(path: str, content: bytes) -> dict[str, bytes]:
    return {**SIGNED, path: content}


def without(path: str) -> dict[str, bytes]:
    return {name: content for name, content in SIGNED.items() if name != path}


def with_token(made: str, **more: Any) -> dict[str, bytes]:
    return {**FILES, ".signatures.json": json.dumps({"signatures": [made], **more}).encode()}


def claims(**more: Any) -> dict[str, Any]:
    return {**claims_of(FILES), **more}


def listed(change) -> dict[str, Any]:
    found = claims_of(FILES)
    change(found["files"])
    return found


HEAD = token(claims()).split(".")
BAD: dict[str, dict[str, bytes]] = {
    "not signed": FILES,
    "another policy": changed("guardrails/main.rego", FILES["guardrails/main.rego"] + b"\n"),
    "other data": changed("guardrails_data/data.json", b'{"trusted": ["b"]}'),
    "another manifest": changed(".manifest", FILES[".manifest"].replace(b"r1", b"r2")),
    "another file": changed("README.md", b"not signed"),
    "a file more": changed("guardrails/more.rego", b"package guardrails.more"),
    "a file less": without("README.md"),
    "another secret": signed(FILES, secret="another secret of sixteen bytes"),
    "another scope": signed(FILES, scope="write"),
    "another key": with_token(token(claims(), header={"kid": "other"})),
    "no signature": {**FILES, ".signatures.json": b'{"signatures": []}'},
    "two signatures": {
        **FILES,
        ".signatures.json": json.dumps({"signatures": [token(claims())] * 2}).encode(),
    },
    "no token": with_token("abc"),
    "a token of two parts": with_token(".".join(HEAD[:2])),
    "an unsigned token": with_token(f"{HEAD[0]}.{HEAD[1]}."),
    "a cut signature": with_token(token(claims())[:-4]),
    "no JSON": {**FILES, ".signatures.json": b"{"},
    "a plugin": with_token(token(claims()), plugin="other"),
    "a hash that is none": with_token(token(listed(lambda files: files[0].update(hash="zz")))),
    "no hash algorithm": with_token(token(listed(lambda files: files[0].update(algorithm="")))),
    "an unknown hash": with_token(token(listed(lambda files: files[0].update(algorithm="CRC")))),
    "a name with a slash": with_token(
        token(listed(lambda files: files[0].update(name="/" + files[0]["name"])))
    ),
}
"""What OPA refuses, too."""

STRICTER: dict[str, dict[str, bytes]] = {
    "a weak hash": with_token(token(listed(lambda files: files[0].update(algorithm="MD5")))),
    "a file listed twice": with_token(token(listed(lambda files: files.append(dict(files[0]))))),
    "a token of another algorithm": with_token(token(claims(), header={"alg": "HS512"})),
    "a token of none": with_token(token(claims(), header={"alg": "none"})),
    "a critical extension": with_token(token(claims(), header={"crit": ["x"], "x": 1})),
}
"""What OPA takes in part, and here is refused on purpose."""


def opa_takes(opa: str, files: dict[str, bytes], folder, *, key: bool = True) -> bool:
    """Whether OPA builds on the bundle, which verifies it."""
    (folder / "b.tar.gz").write_bytes(packed(files))
    how = ["--verification-key", SECRET, "--verification-key-id", "default", "--signing-alg"]
    verified = [*how, "HS256"] if key else []
    command = [opa, "build", "-b", "b.tar.gz", "-o", "out.tar.gz", *verified]
    ran = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
    return ran.returncode == 0


def test_what_is_signed_here_is_taken() -> None:
    found = verify(SIGNED, KEY, "b")
    assert found is not None
    assert (found.keyid, found.scope) == ("default", "")


@pytest.mark.opa
def test_what_is_signed_here_opa_takes(opa, tmp_path) -> None:
    assert opa_takes(opa, SIGNED, tmp_path)


@pytest.mark.opa
@pytest.mark.parametrize("name", BAD)
def test_what_is_not_signed_right_is_refused_here_and_by_opa(name, opa, tmp_path) -> None:
    refused(BAD[name], Verification(KEY.keys, "default") if name != "another key" else KEY)
    if name != "another key":  # OPA was told which key it is
        assert not opa_takes(opa, BAD[name], tmp_path)


@pytest.mark.parametrize("name", STRICTER)
def test_what_opa_lets_pass_is_refused(name) -> None:
    refused(STRICTER[name])


@pytest.mark.opa
def test_a_signed_bundle_needs_a_key(opa, tmp_path) -> None:
    assert "no key is configured" in refused(SIGNED, None)
    assert not opa_takes(opa, SIGNED, tmp_path, key=False)
    assert verify(FILES, None, "b") is None


def test_the_algorithm_is_the_keys_and_never_the_tokens() -> None:
    # A public key is no secret: a token that was signed with it as one is not taken.
    _, public = pair("RS256")
    forged = {
        **FILES,
        ".signatures.json": json.dumps(
            {"signatures": [token(claims_of(FILES), secret=public)]}
        ).encode(),
    }
    key = Verification({"default": VerificationKey(public, "RS256")})
    assert "says `HS256`" in refused(forged, key)
    with pytest.raises(ConfigError, match="no secret"):
        Verification({"default": VerificationKey(public, "HS256")})


def test_scopes_of_configuration_key_and_token() -> None:
    files = signed(FILES, scope="write")
    assert verify(files, Verification(KEY.keys, scope="write"), "b")
    own = Verification({"default": VerificationKey(SECRET, "HS256", scope="write")})
    assert verify(files, own, "b")
    assert "scope" in refused(files, Verification(own.keys, scope="read"))
    assert "scope" in refused(SIGNED, own)


def test_excluded_files_need_no_digest_and_may_change() -> None:
    files = {**SIGNED, "README.md": b"changed", "NEWS.md": b"new"}
    excluding = Verification(KEY.keys, exclude=("*.md",))
    assert verify(files, excluding, "b")
    assert refused({**files, "guardrails/x.md": b""}, excluding)


def test_the_old_place_of_the_key_id_is_read() -> None:
    made = token(claims_of(FILES, keyid="default"), header={"kid": None})
    assert verify(with_token(made), KEY, "b")


@pytest.mark.parametrize(
    ("key", "algorithm", "said"),
    [
        ("short", "HS256", "at least 16"),
        ("x" * 40, "XX256", "unknown algorithm"),
        ("x" * 40, "RS256", "no public key"),
        (pair("ES256")[1], "RS256", "of RSA"),
        (pair("RS256")[1], "ES256", "curve"),
        (pair("ES256")[1], "ES384", "secp384r1"),
        (pair("RS256")[0], "RS256", "no public key"),
    ],
)
def test_a_key_that_does_not_fit_is_a_wrong_configuration(key, algorithm, said) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Verification({"k": VerificationKey(key, algorithm)})
    assert key not in str(caught.value)


def test_without_the_extra_a_key_pair_is_a_wrong_configuration(monkeypatch) -> None:
    monkeypatch.setattr(keys, "is_installed", lambda _: False)
    with pytest.raises(ConfigError, match=r"guardrails-opa\[jwt\]"):
        Verification({"k": VerificationKey(pair("RS256")[1], "RS256")})
    Verification({"k": VerificationKey(SECRET, "HS256")})
    with pytest.raises(ConfigError, match="there is no key `z`; there are `k`"):
        Verification({"k": VerificationKey(SECRET, "HS256")}, "z")
    with pytest.raises(ConfigError, match="no key"):
        Verification({})


DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner)
    ),
    max_leaves=12,
)


@given(DOCUMENTS, st.booleans(), st.integers(0, 3))
def test_the_digest_of_a_document_is_that_of_its_shortest_form(value, ascii_only, indent) -> None:
    short = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    short = short.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    written = json.dumps(value, ensure_ascii=ascii_only, indent=indent or None)
    found = digest("a/data.json", written.encode(), "SHA-256", "b")
    assert found == hashlib.sha256(short.encode()).hexdigest()


def test_a_secret_is_in_no_text() -> None:
    assert SECRET not in repr(KEY)
