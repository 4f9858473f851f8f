"""Check evidence of the record: hashes, signatures, and that every event stands in a block.

It lies in each zip as `verify.py`, and needs nothing but Python; signatures need `cryptography`.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from pathlib import Path
from typing import Any

PURPOSE = b"guardrails record 1\n"
CLOSING = re.compile(
    rb'(\{"kind":"record\.[a-z]+",.*,"prev":"([0-9a-f]{64})"),"hash":"([0-9a-f]{64})"'
    rb'(?:,"signature":"([0-9a-f]{128})")?\}\n'
)


def problems(here: Path, key: Any) -> list[str]:
    """What is wrong with the evidence in the directory `here`."""
    wrong: list[str] = []
    lines: set[bytes] = set()
    for file in sorted((here / "blocks").glob("*.jsonl")):
        content = file.read_bytes()
        start = content.rfind(b"\n", 0, len(content) - 1) + 1
        wrong += [f"{file.name}: {each}" for each in _of_block(content, start, key)]
        lines.update(_lines(content[:start]))
    events = _lines((here / "events.jsonl").read_bytes())
    wrong += [
        f"events.jsonl:{number}: it stands in no block"
        for number, event in enumerate(events, 1)
        if event not in lines
    ]
    for file in sorted((here / "policies" / "sha256").glob("*")):
        if hashlib.sha256(file.read_bytes()).hexdigest() != file.name:
            wrong.append(f"policies/sha256/{file.name}: it is another content")
    return wrong if events else [*wrong, "events.jsonl: it is empty"]


def _of_block(content: bytes, start: int, key: Any) -> list[str]:
    found = CLOSING.fullmatch(content[start:])
    if found is None:
        return ["no closing line"]
    body, prev, own, signature = found.groups()
    digest = hashlib.sha256(bytes.fromhex(prev.decode()) + content[:start] + body).digest()
    if digest.hex() != own.decode():
        return ["its content is not what was closed"]
    if key is None:
        return []
    if signature is None:
        return ["it is not signed"]
    try:
        key.verify(bytes.fromhex(signature.decode()), PURPOSE + digest)
    except Exception:  # noqa: BLE001  # whatever it is, it is no signature
        return ["it is not signed with this key"]
    return []


def _lines(content: bytes) -> list[bytes]:
    return [line + b"\n" for line in content.split(b"\n")[:-1]]


def key_of(text: str) -> Any:
    """The key that `text` writes, as ``ed25519:…``; None without `cryptography`."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  # an extra
    except ImportError:
        print("note: without `cryptography` no signature is checked")  # noqa: T201  # a script
        return None
    kind, _, encoded = text.strip().partition(":")
    if kind != "ed25519":
        sys.exit("a public key as `ed25519:...` is needed")
    return ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded))


def main() -> None:
    """Print what is wrong, and exit with 1 where something is."""
    here = Path(__file__).resolve().parent
    own = here / "public.key"
    text = sys.argv[2] if sys.argv[1:2] == ["--key"] else own.read_text() if own.exists() else ""
    wrong = problems(here, key_of(text) if text else None)
    for each in wrong:
        print(each)  # noqa: T201  # a script
    print(f"{len(wrong)} problems" if wrong else "whole")  # noqa: T201  # a script
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
