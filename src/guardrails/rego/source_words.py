"""What the author of a policy wrote, where a plan has only numbers or a planner's own names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.rego import ir

_LIFTED: Final = re.compile(r"gw_\d+_\d+_\d+")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
_LEXEME: Final = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`|#[^\n]*|[(\[{)\]};\n]')
_LONGEST: Final = 20_000


class SourceWords:
    """Reads the sources of a policy at the places that a plan names.

    Args:
        sources: The Rego sources by file name.
    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self._parameters: dict[tuple[str, str], tuple[str | None, ...]] = {}

    def expression(self, where: ir.Location) -> str | None:
        """The expression that begins at `where`, on one line; None where there is no source."""
        text = self._sources.get(where.file or "")
        if text is None or where.row is None or where.col is None:
            return None
        rows = text.split("\n")
        if where.row > len(rows):
            return None
        tail = "\n".join(rows[where.row - 1 :])[where.col - 1 :][:_LONGEST]
        return " ".join(_first_expression(tail).split()) or None

    def parameters(self, file: str | None, name: str) -> Sequence[str | None]:
        """The names of the parameters of the function `name`; None where definitions differ."""
        key = (file or "", name)
        if key not in self._parameters:
            self._parameters[key] = self._read_parameters(*key)
        return self._parameters[key]

    def _read_parameters(self, file: str, name: str) -> tuple[str | None, ...]:
        # Heads begin their line; what is indented is a call.
        heads = re.compile(rf"^{re.escape(name)}\(([^()\n]*)\)", re.MULTILINE)
        given = [
            [word.strip() for word in found.split(",")]
            for found in heads.findall(self._sources.get(file, ""))
        ]
        if not given or len({len(words) for words in given}) != 1:
            return ()
        return tuple(
            words[0] if len(set(words)) == 1 and _WORD.fullmatch(words[0]) else None
            for words in zip(*given, strict=True)
        )


def is_lifted(name: str) -> bool:
    """Whether `name` is a planner's own, of an expression that ``with_lifting`` took out."""
    return _LIFTED.fullmatch(name) is not None


def _first_expression(text: str) -> str:
    """`text` up to the end of its first expression: of its line, unless a bracket is open."""
    depth = 0
    for found in _LEXEME.finditer(text):
        byte = found.group()[:1]
        if byte in "([{":
            depth += 1
        elif byte in ")]}":
            depth -= 1
        ends = byte in ";\n#" and depth <= 0
        if depth < 0 or ends:
            return text[: found.start()]
    return text


__all__ = ["SourceWords", "is_lifted"]
