"""Regular expressions, by RE2: linear time, and the syntax and meaning that OPA has.

Everything works on UTF-8, as Go's engine does, so that offsets need no
translation. Patterns are compiled once and kept, a bounded number of them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import re2

from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.globs import globs_intersect
from guardrails.rego.builtins.operands import bounded_text, from_utf8, int64, string, utf8

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.values import Value

_LARGEST_PATTERN: Final = 64 * 1024
"""Bytes of the longest pattern that is compiled."""

_KEPT_PATTERNS: Final = 256
_NO_SPAN: Final = (-1, -1)


@functools.lru_cache(maxsize=_KEPT_PATTERNS)
def compiled(pattern: str) -> Any:
    """The compiled pattern.

    Raises:
        BuiltinError: it is no regular expression, or too large a one.
    """
    source = utf8(pattern)
    if len(source) > _LARGEST_PATTERN:
        message = f"the pattern has {len(source)} bytes; at most {_LARGEST_PATTERN} are compiled"
        raise BuiltinError(message)
    if _takes_bytes(pattern):
        message = "error parsing regexp: invalid escape sequence: `\\C`"
        raise BuiltinError(message)
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(source, options)
    except re2.error as error:
        reason = error.args[0]
        if isinstance(reason, bytes):
            reason = from_utf8(reason)
        message = f"error parsing regexp: {reason}"
        raise BuiltinError(message) from None


def _takes_bytes(pattern: str) -> bool:
    r"""Whether the pattern has ``\C``, a single byte, which RE2 knows and Go does not."""
    place = pattern.find("\\")
    while place >= 0:
        escape = pattern[place + 1 : place + 2]
        if escape == "C":
            return True
        end = pattern.find("\\E", place) if escape == "Q" else place
        if end < 0:
            return False
        place = pattern.find("\\", end + 2)
    return False


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern` matches somewhere in `text`."""
    return compiled(pattern).search(utf8(text)) is not None


def _found(pattern: str, data: bytes, most: int = -1) -> Iterator[Any]:
    """Go's successive matches: no empty one directly after the match before it."""
    expression = compiled(pattern)
    place, last_end, count = 0, -1, 0
    while place <= len(data) and count != most:
        match = expression.search(data, place)
        if match is None:
            return
        start, end = match.span()
        if end == place:
            accepted = start != last_end
            place += 1
            while place < len(data) and data[place] & 0xC0 == 0x80:  # noqa: PLR2004  # UTF-8 tail bytes
                place += 1
        else:
            accepted = True
            place = end
        last_end = end
        if accepted:
            count += 1
            yield match


@builtin("regex.is_valid", arity=1)
def is_valid(pattern: Value) -> Value:
    """Whether the value is a regular expression."""
    if type(pattern) is not str:
        return False
    try:
        compiled(pattern)
    except BuiltinError:
        return False
    return True


@builtin("regex.match", arity=2)
def match(pattern: Value, text: Value) -> Value:
    """Whether `pattern` matches somewhere in `text`."""
    expression = string(pattern, 1)
    return matches(expression, string(text, 2))


re_match = match.named("re_match")


@builtin("regex.find_n", arity=3)
def find_n(pattern: Value, text: Value, most: Value) -> Value:
    """The first `most` matches; all of them if it is negative."""
    expression, data = string(pattern, 1), utf8(string(text, 2))
    return [from_utf8(found.group(0)) for found in _found(expression, data, int64(most, 3))]


@builtin("regex.find_all_string_submatch_n", arity=3)
def find_all_string_submatch_n(pattern: Value, text: Value, most: Value) -> Value:
    """The first `most` matches, each with its groups; all of them if it is negative."""
    expression, data = string(pattern, 1), utf8(string(text, 2))
    return [_groups(found) for found in _found(expression, data, int64(most, 3))]


def _groups(found: Any) -> list[Value]:
    return [from_utf8(part) for part in (found.group(0), *found.groups(default=b""))]


@builtin("regex.split", arity=2)
def split(pattern: Value, text: Value) -> Value:
    """The parts between the matches."""
    expression, data = string(pattern, 1), utf8(string(text, 2))
    if expression and not data:
        compiled(expression)
        return [""]
    parts: list[Value] = []
    start = end = 0
    for found in _found(expression, data):
        end, after = found.span()
        if after:
            parts.append(from_utf8(data[start:end]))
        start = after
    if end != len(data):
        parts.append(from_utf8(data[start:]))
    return parts


@builtin("regex.replace", arity=3)
def replace(text: Value, pattern: Value, template: Value) -> Value:
    """The text with every match replaced; ``$1`` and ``${name}`` in `template` are groups."""
    data = utf8(string(text, 1))
    expression = string(pattern, 2)
    pieces = _template(string(template, 3))
    names = compiled(expression).groupindex
    out: list[bytes] = []
    last = size = 0
    for found in _found(expression, data):
        start, end = found.span()
        out.append(data[last:start])
        out.extend(_expanded(pieces, found, names))
        last = end
        size = sum(map(len, out)) if len(out) < len(pieces) * 2 + 2 else size + len(out[-1])
        bounded_text(size)
    out.append(data[last:])
    return from_utf8(b"".join(out))


def _template(template: str) -> list[tuple[str, bool]]:
    """The template as pieces: text, and names of groups."""
    pieces: list[tuple[str, bool]] = []
    rest = template
    while "$" in rest:
        text, _, rest = rest.partition("$")
        pieces.append((text, False))
        if rest.startswith("$"):
            pieces.append(("$", False))
            rest = rest[1:]
            continue
        braced = rest.startswith("{")
        body = rest[1:] if braced else rest
        size = next(
            (at for at, char in enumerate(body) if not (char.isalnum() or char == "_")), len(body)
        )
        if not size or (braced and body[size : size + 1] != "}"):
            # Malformed; Go keeps the dollar sign as text.
            pieces.append(("$", False))
            continue
        pieces.append((body[:size], True))
        rest = body[size + braced :]
    pieces.append((rest, False))
    return pieces


def _expanded(
    pieces: list[tuple[str, bool]], found: Any, names: dict[bytes, int]
) -> Iterator[bytes]:
    for text, is_group in pieces:
        if not is_group:
            yield utf8(text)
            continue
        plain = text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")
        number = int(text) if plain and len(text) <= 4 else names.get(utf8(text))  # noqa: PLR2004  # no pattern has 10,000 groups
        if number is not None and number <= len(found.groups()):
            yield found.group(number) or b""


@builtin("regex.globs_match", arity=2)
def globs_match(left: Value, right: Value) -> Value:
    """Whether some text matches both globs."""
    one = string(left, 1)
    return globs_intersect(one, string(right, 2))


@builtin("regex.template_match", arity=4)
def template_match(template: Value, text: Value, opening: Value, closing: Value) -> Value:
    """Whether `text` matches `template`: literal text, and patterns between the delimiters."""
    pattern, whole = string(template, 1), string(text, 2)
    start, end = string(opening, 3), string(closing, 4)
    for name, delimiter in (("start", start), ("end", end)):
        if len(utf8(delimiter)) != 1:
            size = len(utf8(start))
            message = f"{name} delimiter has to be exactly one character long but is {size} long"
            raise BuiltinError(message)
    return matches(_from_template(pattern, start, end), whole)


def _from_template(template: str, start: str, end: str) -> str:
    parts = ["^"]
    level = begin = last = 0
    for place, char in enumerate(template):
        if char == start:
            level += 1
            if level == 1:
                begin = place
        elif char == end:
            level -= 1
            if level == 0:
                inner = template[begin + 1 : place]
                compiled(f"^{inner}$")
                parts.append(f"{re2.escape(template[last:begin])}({inner})")
                last = place + 1
        if level < 0:
            break
    if level:
        message = f'unbalanced braces in "{template}"'
        raise BuiltinError(message)
    parts.append(re2.escape(template[last:]))
    parts.append("$")
    return "".join(parts)
