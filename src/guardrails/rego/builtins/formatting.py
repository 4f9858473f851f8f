"""``sprintf``: Go's ``fmt`` on the four kinds of argument that OPA hands it.

OPA passes a number as an ``int64``, a ``*big.Int`` or a ``float64``, a string
as it is, and everything else as the string of its Rego text. A verb that does
not fit the kind prints Go's complaint, ``%!d(string=x)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins.base import builtin
from guardrails.rego.builtins.floattext import format_float
from guardrails.rego.builtins.operands import LARGEST_TEXT, array, bounded_text, string, utf8
from guardrails.rego.builtins.text import number_as_text, quoted, text_of

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_LARGEST_WIDTH: Final = 1_000_000
"""Go takes no width or precision above this."""

_INT64: Final = range(-(2**63), 2**63)
_RADIX: Final = {"b": "b", "o": "o", "O": "o", "d": "d", "v": "d", "s": "d", "x": "x", "X": "X"}
_PREFIX: Final = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}
_FLAGS: Final = {"#": "sharp", "0": "zero", "+": "plus", "-": "minus", " ": "space"}
_LAST_RUNE: Final = 0x10FFFF


@dataclass(slots=True)
class _Spec:
    """The flags of one verb."""

    sharp: bool = False
    zero: bool = False
    plus: bool = False
    minus: bool = False
    space: bool = False
    sharp_v: bool = False
    plus_v: bool = False
    width: int | None = None
    precision: int | None = None

    def pad(self, text: str, *, zeros: bool | None = None) -> str:
        """`text` brought to the width, with zeros on the left where the flag asks for them."""
        missing = (self.width or 0) - len(text)
        if missing <= 0:
            return text
        if self.minus:
            return text + " " * missing
        fill = "0" if (self.zero if zeros is None else zeros) else " "
        return fill * missing + text


@builtin("sprintf", arity=2)
def sprintf(template: Value, values: Value) -> Value:
    """The template with its verbs replaced by the values, as Go's ``fmt.Sprintf`` does it."""
    text = string(template, 1)
    return _Printer(text, [_argument(item) for item in array(values, 2)]).run()


def _argument(value: Value) -> int | float | str:
    kind = type(value)
    if kind is str or kind is int:
        return value  # type: ignore[no-any-return]  # its type was just asked
    if kind is Decimal:
        text = number_as_text(value)
        exponent = value.as_tuple().exponent
        if "e" not in text and value == value.to_integral_value() and int(value) in _INT64:
            return int(value)
        if "." in text or (isinstance(exponent, int) and exponent < 0):
            number = float(value)
            if abs(number) != float("inf"):
                return number
        return text
    return text_of(value)


class _Printer:
    """One pass over a template."""

    def __init__(self, template: str, arguments: list[int | float | str]) -> None:
        self._template = template
        self._arguments = arguments
        self._place = 0
        self._next = 0
        self._reordered = False
        self._good = True

    def run(self) -> str:
        out: list[str] = []
        size = 0
        while self._place < len(self._template):
            start = self._template.find("%", self._place)
            if start < 0:
                out.append(self._template[self._place :])
                break
            out.append(self._template[self._place : start])
            self._place = start + 1
            out.append(self._verb())
            size += len(out[-1]) + len(out[-2])
            bounded_text(size)
        left = self._arguments[self._next :]
        if left and not self._reordered:
            shown = ", ".join(f"{_kind(item)}={_print(item, 'v', _Spec())}" for item in left)
            out.append(f"%!(EXTRA {shown})")
        return "".join(out)

    def _peek(self) -> str:
        return self._template[self._place : self._place + 1]

    def _verb(self) -> str:
        spec = _Spec()
        self._good = True
        self._flags(spec)
        indexed, complaint = self._width(spec, indexed=self._index())
        if self._peek() == "." and self._place + 1 < len(self._template):
            self._place += 1
            if indexed:
                self._good = False
            indexed, more = self._precision(spec, indexed=self._index())
            complaint += more
        if not indexed:
            self._index()
        return complaint + self._finish(spec)

    def _flags(self, spec: _Spec) -> None:
        while (flag := self._peek()) and flag in _FLAGS:
            setattr(spec, _FLAGS[flag], True)
            self._place += 1

    def _width(self, spec: _Spec, *, indexed: bool) -> tuple[bool, str]:
        """Read the width; whether an index still waits for its verb, and Go's complaint."""
        if self._peek() != "*":
            spec.width = self._digits()
            if indexed and spec.width is not None:
                self._good = False
            return indexed, ""
        self._place += 1
        spec.width = self._star()
        if spec.width is None:
            return False, "%!(BADWIDTH)"
        if spec.width < 0:
            spec.width, spec.minus, spec.zero = -spec.width, True, False
        return False, ""

    def _precision(self, spec: _Spec, *, indexed: bool) -> tuple[bool, str]:
        """Read the precision; the result is as that of :meth:`_width`."""
        if self._peek() != "*":
            spec.precision = self._digits() or 0
            return indexed, ""
        self._place += 1
        spec.precision = self._star()
        if spec.precision is None or spec.precision < 0:
            spec.precision = None
            return False, "%!(BADPREC)"
        return False, ""

    def _finish(self, spec: _Spec) -> str:
        verb = self._peek()
        self._place += 1
        if not verb:
            return "%!(NOVERB)"
        if verb == "%":
            return "%"
        if not self._good:
            return f"%!{verb}(BADINDEX)"
        if self._next >= len(self._arguments):
            return f"%!{verb}(MISSING)"
        if verb in "vw":
            spec.sharp_v, spec.sharp = spec.sharp, False
            spec.plus_v, spec.plus = spec.plus, False
        value = self._arguments[self._next]
        self._next += 1
        return _print(value, verb, spec)

    def _index(self) -> bool:
        """Read an explicit argument index, as ``[2]``; whether there was one."""
        if self._peek() != "[":
            return False
        self._reordered = True
        close = self._template.find("]", self._place)
        if close < 0:
            self._good = False
            self._place += 1
            return False
        digits = self._template[self._place + 1 : close]
        self._place = close + 1
        valid = digits.isascii() and digits.isdigit() and len(digits) <= 7  # noqa: PLR2004  # as Go's limit
        if valid and 1 <= int(digits) <= len(self._arguments):
            self._next = int(digits) - 1
            return True
        self._good = False
        return valid

    def _digits(self) -> int | None:
        start = self._place
        while (char := self._peek()) and char in "0123456789":
            self._place += 1
        digits = self._template[start : self._place]
        if not digits:
            return None
        if len(digits) > 8 or int(digits) > _LARGEST_WIDTH * 10:  # noqa: PLR2004  # as Go's limit
            self._place = len(self._template)
            return None
        return int(digits)

    def _star(self) -> int | None:
        if self._next >= len(self._arguments):
            return None
        value = self._arguments[self._next]
        self._next += 1
        if type(value) is not int or abs(value) > _LARGEST_WIDTH:
            return None
        return value


def _kind(value: float | str) -> str:
    if type(value) is int:
        return "int64" if value in _INT64 else "*big.Int"
    return "float64" if type(value) is float else "string"


def _bad_verb(value: float | str, verb: str, spec: _Spec) -> str:
    return f"%!{verb}({_kind(value)}={_print(value, 'v', spec)})"


def _print(value: float | str, verb: str, spec: _Spec) -> str:
    if verb == "T":
        return spec.pad(_truncated(_kind(value), spec))
    if verb == "p":
        return f"%!p({_kind(value)}={_print(value, 'v', spec)})"
    if type(value) is int:
        return _integer(value, verb, spec) if value in _INT64 else _big(value, verb, spec)
    if type(value) is float:
        return _float(value, verb, spec)
    assert type(value) is str  # noqa: S101  # the last case of the type; narrows it for mypy
    return _string(value, verb, spec)


def _truncated(text: str, spec: _Spec) -> str:
    return text if spec.precision is None else text[: spec.precision]


def _string(value: str, verb: str, spec: _Spec) -> str:
    match verb:
        case "v" if spec.sharp_v:
            return spec.pad(quoted(_truncated(value, spec)))
        case "v" | "s":
            return spec.pad(_truncated(value, spec))
        case "q":
            text = _truncated(value, spec)
            if spec.sharp and "`" not in text and (text + " ").isprintable():
                return spec.pad(f"`{text}`")
            return spec.pad(quoted(text, ascii_only=spec.plus))
        case "x" | "X":
            return _hexadecimal(value, verb, spec)
        case _:
            return _bad_verb(value, verb, spec)


def _hexadecimal(value: str, verb: str, spec: _Spec) -> str:
    data = utf8(value)
    if spec.precision is not None:
        data = data[: spec.precision]
    bounded_text(4 * len(data))
    prefix = f"0{verb}" if spec.sharp else ""
    pairs = data.hex(" ") if spec.space else data.hex()
    if verb == "X":
        pairs = pairs.upper()
    if spec.sharp and spec.space and data:
        pairs = pairs.replace(" ", f" {prefix}")
    return spec.pad(prefix + pairs if data else "")


def _integer(value: int, verb: str, spec: _Spec) -> str:
    match verb:
        case "c" | "q" | "U":
            return _rune(value, verb, spec)
        case "s":
            return _bad_verb(value, verb, spec)
        case _ if verb not in _RADIX:
            return _bad_verb(value, verb, spec)
    negative = value < 0
    if spec.precision == 0 and value == 0:
        return " " * (spec.width or 0)
    wanted = spec.precision or 0
    if spec.precision is None and spec.zero and not spec.minus and spec.width is not None:
        wanted = spec.width - (negative or spec.plus or spec.space)
    digits = format(abs(value), _RADIX[verb]).rjust(min(wanted, LARGEST_TEXT), "0")
    if spec.sharp and not (verb in "oO" and digits.startswith("0")):
        digits = ("0" if verb == "O" else _PREFIX.get(verb, "")) + digits
    if verb == "O":
        digits = "0o" + digits
    return spec.pad(_sign(spec, negative=negative) + digits, zeros=False)


def _sign(spec: _Spec, *, negative: bool) -> str:
    if negative:
        return "-"
    if spec.plus:
        return "+"
    return " " if spec.space else ""


def _rune(value: int, verb: str, spec: _Spec) -> str:
    valid = 0 <= value <= _LAST_RUNE and not 0xD800 <= value <= 0xDFFF  # noqa: PLR2004  # the surrogates
    char = chr(value) if valid else "\ufffd"
    if verb == "c":
        return spec.pad(char)
    if verb == "q":
        return spec.pad(quoted(char, ascii_only=spec.plus, quote="'"))
    digits = format(value % 2**64, "X").rjust(max(spec.precision or 0, 4), "0")
    shown = f" '{char}'" if spec.sharp and valid and char.isprintable() else ""
    return spec.pad(f"U+{digits}{shown}", zeros=False)


def _big(value: int, verb: str, spec: _Spec) -> str:
    if verb not in _RADIX:
        return f"%!{verb}(big.Int={value})"
    digits = format(abs(value), _RADIX[verb])
    prefix = "0o" if verb == "O" else (_PREFIX.get(verb, "") if spec.sharp else "")
    if spec.plus_v:
        spec = replace(spec, plus=True)
    sign = _sign(spec, negative=value < 0)
    if spec.precision is not None:
        digits = digits.rjust(spec.precision, "0")
    missing = (spec.width or 0) - len(sign + prefix + digits)
    if missing > 0 and spec.zero and not spec.minus and spec.precision is None:
        digits = "0" * missing + digits
    return spec.pad(sign + prefix + digits, zeros=False)


def _float(value: float, verb: str, spec: _Spec) -> str:
    match verb:
        case "v":
            text = format_float(value, "g", spec.precision, sharp=spec.sharp)
        case "g" | "G":
            text = format_float(value, verb, spec.precision, sharp=spec.sharp)
        case "e" | "E" | "f" | "F":
            precision = 6 if spec.precision is None else spec.precision
            text = format_float(value, verb, precision, sharp=spec.sharp)
        case _:
            return _bad_verb(value, verb, spec)
    negative = text.startswith("-")
    digits = text.removeprefix("-")
    sign = _sign(spec, negative=negative)
    if sign and spec.zero and not spec.minus and spec.width is not None:
        return sign + digits.rjust(spec.width - 1, "0")
    return spec.pad(sign + digits)
