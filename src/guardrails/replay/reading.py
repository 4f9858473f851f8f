"""Reads of a line of the record what a candidate's answer hangs on, and passes over the rest.

What policies cannot read of their input (:mod:`guardrails.rego.input_reads`) makes no other result.
So it is not decoded, nor held against the published shape: in most records that is most of a line.
What is kept is decoded exactly as :func:`~guardrails.replay.recorded.line_of` decodes it; the types
that are made here say which members of objects are kept, and nothing about their values. A line
whose kept parts are not of the published shape is read whole, and so is decided as any other.

Two things come out otherwise, of inputs that nothing here writes. A number that nothing holds
makes no torn line where it stands in what is passed over, as outside of the input; to look for it
would take longer than all else. And where but the rest of an input is not of the shape, it is
decided by what is compiled, not by the interpreter, which may lack the room for it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypedDict

import msgspec

from guardrails.engines.input_shape import fits
from guardrails.rego.emit.shapes import Kind, Shape
from guardrails.replay.recorded import NO_EVENT, UNRECORDABLE, Line, line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guardrails.rego.input_reads import InputReads, Path

ReadLine: TypeAlias = "Callable[[bytes], Line | None]"

_Names: TypeAlias = "dict[str, _Names]"
"""Members that are kept, and of each the same; without any, all that is below is kept."""

_TIME: Final[Path] = ("time",)
"""What the replay itself reads, for the policies' clock."""

_MOST: Final = 64
"""Members of one object that are looked for; for more it is kept whole."""


def reader_of(shape: Shape, reads: InputReads | None) -> ReadLine:
    """What reads a line for policies; None for one that is no event.

    Of what it gives, a :class:`PartOfLine` holds the input in part, and has the shape.

    Args:
        shape: What the policies expect of an input.
        reads: What they may read of it; None where nobody knows.
    """
    if reads is None:
        return line_of
    kept, part = _kept(shape, _names([_TIME, *reads.whole, *reads.looked_up]))
    if kept is Any:
        return line_of
    has_shape = fits(part, parsed=True)
    fields = [("input", kept | None, None)]
    made: type[PartOfLine] = msgspec.defstruct("PartOfLine", fields, bases=(PartOfLine,))  # type: ignore[assignment]  # one of its bases
    decode = msgspec.json.Decoder(made, float_hook=Decimal).decode

    def read(raw: bytes) -> Line | None:
        if b"$" in raw and UNRECORDABLE in raw:  # wherever it stands
            return line_of(raw)
        try:
            if not raw.isascii():
                raw.decode()
            line = decode(raw)
        except NO_EVENT:
            return line_of(raw)
        # What has no input is whole as it is. Other agents' documents have a shape of their own.
        if (
            line.kind
            and raw.endswith(b"\n")
            and (line.input is None or has_shape(line.input))
            and (line.detail is None or not line.detail.narrowed_by)
        ):
            return line
        return line_of(raw)

    return read


class PartOfLine(Line):
    """A line that holds of its input what may be read, which is of the shape."""


def whole_input(line: Line, raw: bytes) -> Any:
    """All of a line's input; None where a number that nothing holds stands in it.

    Args:
        line: What was read of it.
        raw: The line.
    """
    if not isinstance(line, PartOfLine):
        return line.input
    whole = line_of(raw)
    return None if whole is None else whole.input


def _names(paths: Iterable[Path]) -> _Names:
    below: dict[str, list[Path]] = {}
    for path in paths:
        if not path:
            return {}
        below.setdefault(path[0], []).append(path[1:])
    return {name: _names(each) for name, each in below.items()}


def _kept(shape: Shape, names: _Names) -> tuple[Any, Shape]:
    """The type by which what stands at a place is decoded, and the shape of what comes of it."""
    is_object = shape.may_be(Kind.OBJECT) and shape.is_only(Kind.OBJECT | Kind.UNDEFINED)
    # A decoder does not find names beyond ASCII.
    if not is_object or not 0 < len(names) <= _MOST or not all(map(str.isascii, names)):
        return Any, shape
    # In the order in which documents have them they are found at once.
    order = [*filter(names.__contains__, shape.fields), *sorted(names.keys() - shape.fields.keys())]
    below = {name: _kept(shape.field(name), names[name]) for name in order}
    kept = _typed_dict("Kept", {name: each for name, (each, _) in below.items()}, total=False)
    return kept, Shape(shape.kinds, fields={name: each for name, (_, each) in below.items()})


_typed_dict: Final[Any] = TypedDict
"""As a function: types are made here of names that are known at run time."""

__all__ = ["PartOfLine", "ReadLine", "reader_of", "whole_input"]
