"""The chain: lines that close what stands before them, so that no byte of it can be changed.

A closing line is a JSON object whose kind begins with ``record.`` and whose last members are
``prev``, ``hash`` and, where there is a key, ``signature``::

    {"kind":"record.chain","n":7,"events":2,"total":31,"time":…,"prev":"…","hash":"…","signature":"…"}

``hash`` is SHA-256 over the previous closing line's hash (32 bytes), every byte since that line,
and this line's own text up to ``,"hash"``. ``signature`` is Ed25519 (RFC 8032) over
:data:`PURPOSE` and the hash. Both are in lower-case hex, which has one way to be written; so
every byte of a file is covered. Nothing here does I/O.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GENESIS: Final = bytes(32)
"""What stands for the hash before the first one."""

PURPOSE: Final = b"guardrails record 1\n"
"""What a signature begins with, so that it can stand for nothing else."""

MARK: Final = b'{"kind":"record.'
"""How every closing line begins, and no event."""

_CLOSING: Final = re.compile(
    rb'(\{"kind":"record\.[a-z]+",.*,"prev":"([0-9a-f]{64})"),"hash":"([0-9a-f]{64})"'
    rb'(?:,"signature":"([0-9a-f]{128})")?\}\n'
)


class Closing(NamedTuple):
    """A closing line, read.

    Attributes:
        text: Its bytes up to ``,"hash"``.
        prev: The hash before it, as it says.
        hash: Its own, as it says.
        signature: What signs it; None where nothing does.
        facts: Its members but these.
    """

    text: bytes
    prev: bytes
    hash: bytes
    signature: bytes | None
    facts: dict[str, Any]

    @property
    def kind(self) -> str:
        """Its kind, as ``record.chain``."""
        return str(self.facts["kind"])

    def follows(self, prev: bytes, covered: bytes = b"") -> bool:
        """Whether it closes `covered` after `prev`."""
        return self.prev == prev and self.hash == hash_of(prev, covered, self.text)


def closing_line(
    facts: Mapping[str, Any],
    prev: bytes,
    covered: bytes = b"",
    sign: Callable[[bytes], bytes] | None = None,
) -> tuple[bytes, bytes]:
    """The line that closes `covered`, and its hash.

    Args:
        facts: What it says: its kind first, then numbers and plain texts.
        prev: The previous closing line's hash.
        covered: Every byte since that line.
        sign: Signs; None where there is no key.
    """
    body = json.dumps({**facts, "prev": prev.hex()}, separators=(",", ":"))
    text = body[:-1].replace("\x7f", "\\u007f").encode("ascii")
    own = hash_of(prev, covered, text)
    line = b'%b,"hash":"%b"' % (text, own.hex().encode())
    if sign is not None:
        line += b',"signature":"%b"' % sign(PURPOSE + own).hex().encode()
    return line + b"}\n", own


def hash_of(prev: bytes, covered: bytes, text: bytes) -> bytes:
    """The hash of a closing line of that text."""
    state = hashlib.sha256(prev)
    state.update(covered)
    state.update(text)
    return state.digest()


def read_closing(line: bytes) -> Closing | None:
    """The closing line that `line` is, with its newline; None where it is none."""
    found = _CLOSING.fullmatch(line)
    if found is None:
        return None
    text, prev, own, signature = found.groups()
    try:
        facts = json.loads(text + b"}")
    except (ValueError, RecursionError):
        return None
    del facts["prev"]
    return Closing(
        text,
        bytes.fromhex(prev.decode()),
        bytes.fromhex(own.decode()),
        None if signature is None else bytes.fromhex(signature.decode()),
        facts,
    )
