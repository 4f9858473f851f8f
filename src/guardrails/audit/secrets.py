"""Secrets in what is to be recorded or decided: where they stand, and of which kind.

Found are the forms of :mod:`guardrails.audit.secret_forms`, also inside base64, hexadecimal
digits, percent-encoding and backslash escapes, twice over at most. What has no form, and no name
that says it (:mod:`guardrails.audit.secret_names`), is not found: redactions of policy, and
``arguments: digest`` for a tool, are for that.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

import re2

from guardrails.audit.secret_forms import CARD, FORMS, Form

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHORTEST: Final = 6
_LAYERS: Final = 2
_LEAST_CARD: Final = 13

_RUNS: Final = re2.compile(rb"[A-Za-z0-9+/_-]{20,}")
_HEXADECIMAL: Final = re.compile(rb"(?:[0-9a-fA-F]{2})+\Z")
_ESCAPE: Final = re.compile(rb"\\(?:u00([0-9a-fA-F]{2})|x([0-9a-fA-F]{2})|([nrt/\"'\\]))")
_LETTERS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class Found(NamedTuple):
    """A secret in a text: from where to where, in bytes of UTF-8, and of which kind."""

    start: int
    end: int
    kind: str


class Detector:
    """Finds secrets.

    Args:
        cards: Whether numbers of payment cards count.
    """

    def __init__(self, *, cards: bool = False) -> None:
        forms = (*FORMS, CARD) if cards else FORMS
        self._forms = [(form, _compiled(form.pattern)) for form in forms]
        # One pass says of most texts that there is nothing in them.
        self._any = _compiled("|".join(f"(?:{_without_groups(form)})" for form in forms))

    def may_hold(self, text: bytes) -> bool:
        """Whether a secret may be in `text`; where not, there is none."""
        return self._holds(text, _LAYERS)

    def find(self, text: str) -> list[Found]:
        """The secrets in `text`, in their order; none overlaps another."""
        if len(text) < _SHORTEST:
            return []
        content = text.encode("utf-8", "surrogatepass")
        if not self._holds(content, _LAYERS):
            return []
        spans = sorted(self._spans(content), key=lambda each: (each.start, -each.end))
        found: list[Found] = []
        for each in spans:
            if found and each.start < found[-1].end:
                last = found[-1]
                found[-1] = Found(last.start, max(last.end, each.end), last.kind)
            else:
                found.append(each)
        return found

    def _spans(self, content: bytes) -> list[Found]:
        spans: list[Found] = []
        for form, pattern in self._forms:
            group = 1 if pattern.groups else 0
            for match in pattern.finditer(content):
                start, end = match.span(group)
                if end > start and (form is not CARD or _is_card(match.group())):
                    spans.append(Found(start, end, form.kind))
        for match in _RUNS.finditer(content):
            inner = _decoded(match.group())
            kind = next((each for part in inner if (each := self._kind(part, 1))), None)
            if kind is not None:
                start, end = match.span()
                while content[end : end + 1] == b"=":
                    end += 1
                spans.append(Found(start, end, kind))
        # Percent-encoding and escapes do not say where they begin: if more is in them, all goes.
        rest = bytearray(content)
        for span in spans:
            rest[span.start : span.end] = b" " * (span.end - span.start)
        for part in _unescaped(bytes(rest)):
            kind = self._kind(part, 1)
            if kind is not None:
                return [Found(0, len(content), kind)]
        return spans

    def _kind(self, content: bytes, layers: int) -> str | None:
        """Which kind of secret `content` holds, within so many layers of encoding."""
        if not self._holds(content, layers):
            return None
        for form, pattern in self._forms:
            match = pattern.search(content)
            if match and (form is not CARD or _is_card(match.group())):
                return form.kind
        if layers:
            for inner in _inner(content):
                kind = self._kind(inner, layers - 1)
                if kind is not None:
                    return kind
        return None

    def _holds(self, content: bytes, layers: int) -> bool:
        if self._any.search(content):
            return True
        return bool(layers) and any(self._holds(each, layers - 1) for each in _inner(content))


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 64 << 20
    return re2.compile(pattern.encode(), options)


def _without_groups(form: Form) -> str:
    return re.sub(r"(?<!\\)\((?!\?)", "(?:", form.pattern)


def _inner(content: bytes) -> Iterator[bytes]:
    for match in _RUNS.finditer(content):
        yield from _decoded(match.group())
    yield from _unescaped(content)


def _decoded(run: bytes) -> Iterator[bytes]:
    """What a run of letters and digits may stand for, wherever in it the encoding begins."""
    digits = run
    for start in (0, 1):
        part = digits[start:]
        part = part[: len(part) & ~1]
        if _HEXADECIMAL.match(part):
            yield bytes.fromhex(part.decode())
    plain = run.replace(b"-", b"+").replace(b"_", b"/")
    for start in range(4):
        part = plain[start:]
        part = part[: len(part) - (1 if len(part) % 4 == 1 else 0)]
        yield base64.b64decode(part + b"=" * (-len(part) % 4))


def _unescaped(content: bytes) -> Iterator[bytes]:
    if b"%" in content:
        yield unquote_to_bytes(content)
    if b"\\" in content:
        yield _ESCAPE.sub(_escaped, content)


def _escaped(match: re.Match[bytes]) -> bytes:
    wide, short, letter = match.groups()
    if letter is not None:
        return _LETTERS.get(letter, letter)
    return bytes.fromhex((wide or short).decode())


def _is_card(digits: bytes) -> bool:
    numbers = [each - 48 for each in digits if 48 <= each <= 57]  # noqa: PLR2004  # ASCII digits
    if len(numbers) < _LEAST_CARD:
        return False
    total = 0
    for index, number in enumerate(reversed(numbers)):
        doubled = number * 2 if index % 2 else number
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004  # the sum of its digits
    return total % 10 == 0 and len(set(numbers)) > 1
