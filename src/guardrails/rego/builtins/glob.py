"""``glob.match``: shell patterns with delimiters, translated to RE2.

``*`` takes characters that are no delimiter, ``**`` all, ``?`` one that is no
delimiter, ``[abc]``, ``[a-z]`` and ``[!a-z]`` one of a class, ``{a,b}`` one of
several patterns; a backslash takes the next character as it is.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.operands import array, string, wrong_element, wrong_type
from guardrails.rego.builtins.regex import matches

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_KEPT_PATTERNS: Final = 256
_SPECIAL: Final = frozenset("*?\\[]{}")
_DEFAULT_DELIMITERS: Final = "."


@builtin("glob.match", arity=3)
def match(pattern: Value, delimiters: Value, text: Value) -> Value:
    """Whether the pattern matches the whole text.

    ``null`` stands for no delimiters, the empty array for the dot.
    """
    source = string(pattern, 1)
    if delimiters is None:
        separators = ""
    elif type(delimiters) is list:
        separators = _characters(delimiters) or _DEFAULT_DELIMITERS
    else:
        raise wrong_type(2, delimiters, "array", "null")
    return matches(translated(source, separators), string(text, 3))


def _characters(delimiters: Value) -> str:
    for item in array(delimiters, 2):
        if type(item) is not str:
            raise wrong_element(2, delimiters, item, "string")
        if len(item) != 1:
            raise wrong_element(2, delimiters, item, "rune")
    return "".join(delimiters)


@builtin("glob.quote_meta", arity=1)
def quote_meta(text: Value) -> Value:
    """A pattern that matches the text and nothing else."""
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in string(text, 1))


@functools.lru_cache(maxsize=_KEPT_PATTERNS)
def translated(pattern: str, delimiters: str) -> str:
    """The regular expression for a glob.

    Raises:
        BuiltinError: the glob is malformed.
    """
    return _Translator(pattern, delimiters).run()


def _literal(char: str) -> str:
    return char if char.isalnum() and char.isascii() else f"\\x{{{ord(char):x}}}"


class _Translator:
    def __init__(self, pattern: str, delimiters: str) -> None:
        # OPA's library takes the NUL character for the end of the pattern.
        self._text = pattern.partition("\0")[0]
        self._place = 0
        unlimited = "(?s:.)"
        self._one = f"[^{''.join(map(_literal, delimiters))}]" if delimiters else unlimited
        self._any = unlimited

    def run(self) -> str:
        parts = ["^(?:"]
        depth = 0
        while self._place < len(self._text):
            char = self._text[self._place]
            self._place += 1
            if char == "\\":
                parts.append(_literal(self._text[self._place]) if self._more() else "")
                self._place += 1
            elif char == "*":
                parts.append(self._star())
            elif char == "?":
                parts.append(self._one)
            elif char == "[":
                parts.append(self._class())
            elif char == "{":
                depth += 1
                parts.append("(?:")
            elif char == "}" and depth:
                depth -= 1
                parts.append(")")
            elif char == "," and depth:
                parts.append("|")
            else:
                parts.append(_literal(char))
        parts.append(")" * (depth + 1))
        parts.append("$")
        return "".join(parts)

    def _more(self) -> bool:
        return self._place < len(self._text)

    def _star(self) -> str:
        if self._more() and self._text[self._place] == "*":
            self._place += 1
            return f"{self._any}*"
        return f"{self._one}*"

    def _read(self) -> str:
        if not self._more():
            message = "unexpected end of input"
            raise BuiltinError(message)
        self._place += 1
        return self._text[self._place - 1]

    def _class(self) -> str:
        char = self._read()
        negated = char == "!"
        if negated:
            char = self._read()
        start = "[^" if negated else "["
        if self._more() and self._text[self._place] == "-":
            self._place += 1
            return f"{start}{self._range(char)}]"
        self._place -= 1
        chars: list[str] = []
        while (char := self._read()) != "]":
            chars.append(_literal(self._read() if char == "\\" else char))
        if not chars:
            message = "could not parse range"
            raise BuiltinError(message)
        return f"{start}{''.join(chars)}]"

    def _range(self, low: str) -> str:
        high = self._read()
        if high < low:
            message = f"hi character '{high}' should be greater than lo '{low}'"
            raise BuiltinError(message)
        if self._read() != "]":
            message = "expected close range character"
            raise BuiltinError(message)
        return f"{_literal(low)}-{_literal(high)}"
