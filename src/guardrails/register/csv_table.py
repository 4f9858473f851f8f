"""The register as a table for spreadsheets: one row an agent, one column a field.

Columns: ``id, owner, version, deputy, purpose, notify, runbook, dashboard,
signed_off_by, signed_off_on, review_by, budget, access, contacts, success,
approval, delegates, labels``. Only ``id`` and ``owner`` must be there. A cell of
several things has each on a line of its own:

=============  ====================================================================
budget         ``prod: usd=5, calls=50, seconds=600``
access         ``payments: read, write``
approval       ``refund: above=1000, argument=amount, approvers=finance-ops|cfo``
delegates      ``research-agent`` or ``research-agent narrow``
the others     as they are
=============  ====================================================================

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a
formula. Such a cell, and one that begins with ``'``, is written with a ``'``
before it, and one ``'`` is taken off when a cell is read.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any, Final

from guardrails.register.register import Register
from guardrails.register.source import Place, Problem, Source, SourceError, nearest, quoted, shown
from guardrails.register.written import as_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from guardrails.register.source import KeyPath

_NESTED: Final = {
    "notify": ("on_call", "notify"),
    "runbook": ("on_call", "runbook"),
    "dashboard": ("on_call", "dashboard"),
    "signed_off_by": ("signed_off", "by"),
    "signed_off_on": ("signed_off", "on"),
}
_LINES: Final = ("contacts", "success", "labels")
COLUMNS: Final = (
    "id",
    "owner",
    "version",
    "deputy",
    "purpose",
    *_NESTED,
    "review_by",
    "budget",
    "access",
    "contacts",
    "success",
    "approval",
    "delegates",
    "labels",
)
"""The columns, in the order in which they are written; any order is read."""

_FORMULA: Final = ("=", "+", "-", "@", "'")


def to_csv(register: Register) -> str:
    """The register as CSV."""
    out = io.StringIO(newline="")
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for name, entry in register.entries.items():
        cells = _cells(as_written(entry)) | {"id": name}
        table.writerow([_guarded(cells.get(column, "")) for column in COLUMNS])
    return out.getvalue()


def from_csv(text: str, file: str) -> Register:
    """The register that the CSV `text` holds.

    Args:
        text: The table, with its header.
        file: Its name, for errors; their columns are the numbers of the cells.

    Raises:
        SourceError: it is no register; every problem is named with its place.
    """
    rows = _rows(text, file)
    header = next(rows, None)
    if header is None:
        raise SourceError([Problem(file, 1, 1, "", f"holds no table; it needs {quoted(COLUMNS)}")])
    columns = [_unguarded(cell).strip() for cell in header[1]]
    problems = list(_header_problems(columns, file))
    if problems:
        raise SourceError(problems)
    return Register.from_source(_source(rows, columns, file))


def _source(rows: Iterable[tuple[int, list[str]]], columns: list[str], file: str) -> Source:
    agents: dict[str, Any] = {}
    values: dict[KeyPath, Place] = {(): Place(1, 1)}
    problems = []
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(columns):
            needed = f"has {len(row)} cells, and the header {len(columns)}"
            problems.append(Problem(file, line, 1, "", needed))
            continue
        cells = {column: _unguarded(cell) for column, cell in zip(columns, row, strict=True)}
        name = cells.pop("id").strip()
        if name in agents:
            first = values[name,].line
            given = f"is given twice, first in line {first}"
            problems.append(Problem(file, line, columns.index("id") + 1, name, given))
            continue
        values[name,] = Place(line, columns.index("id") + 1)
        agents[name] = {}
        for column, cell in cells.items():
            if cell.strip():
                path = _NESTED.get(column, (column,))
                place = Place(line, columns.index(column) + 1)
                values[(name, *path)] = place
                try:
                    _put(agents[name], path, _read(column, cell))
                except ValueError as error:
                    problems.append(Problem(file, *place, f"{name}.{column}", str(error)))
    if problems:
        raise SourceError(problems)
    return Source(file, agents, {}, values)


def _rows(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line on which it starts."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise SourceError([Problem(file, line, 1, "", f"is no CSV: {error}")]) from None


def _header_problems(columns: list[str], file: str) -> Iterator[Problem]:
    for index, column in enumerate(columns, 1):
        if column not in COLUMNS:
            message = f"unknown column{nearest(column, COLUMNS)}; there are {quoted(COLUMNS)}"
            yield Problem(file, 1, index, column, message)
        elif column in columns[: index - 1]:
            yield Problem(file, 1, index, column, "the column is given twice")
    for column in ("id", "owner"):
        if column not in columns:
            yield Problem(file, 1, 1, column, "the column is missing")


def _put(entry: dict[str, Any], path: KeyPath, value: object) -> None:
    for part in path[:-1]:
        entry = entry.setdefault(str(part), {})
    entry[str(path[-1])] = value


def _guarded(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _unguarded(cell: str) -> str:
    return cell.removeprefix("'")


def _cells(written: Mapping[str, Any]) -> dict[str, str]:
    """What stands in the columns for an entry."""
    cells = {name: str(written[name]) for name in ("owner", "version")}
    for name in ("deputy", "purpose", "review_by"):
        cells[name] = written.get(name, "")
    for column, (outer, inner) in _NESTED.items():
        cells[column] = written.get(outer, {}).get(inner, "")
    for name in _LINES:
        cells[name] = "\n".join(written.get(name, ()))
    for name, write in _WRITERS.items():
        cells[name] = "\n".join(write(item) for item in _items(written.get(name, ())))
    return cells


def _items(value: Any) -> Iterable[Any]:
    return value.items() if isinstance(value, dict) else value


def _pairs(item: tuple[str, dict[str, Any]]) -> str:
    name, pairs = item
    words = ", ".join(f"{key}={_word(value)}" for key, value in pairs.items())
    return f"{name}: {words}".rstrip()


def _word(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return "|".join(value)
        case _:
            return str(value)


def _grant(item: tuple[str, list[str]]) -> str:
    return f"{item[0]}: {', '.join(item[1])}"


def _delegate(item: str | Mapping[str, Any]) -> str:
    return item if isinstance(item, str) else f"{item['to']} narrow"


_WRITERS: Final[Mapping[str, Callable[[Any], str]]] = {
    "budget": _pairs,
    "access": _grant,
    "approval": _pairs,
    "delegates": _delegate,
}


def _read(column: str, cell: str) -> object:
    """What a cell says, as the value that the file of YAML would have there."""
    lines = [line.strip() for line in cell.splitlines() if line.strip()]
    match column:
        case "budget" | "approval":
            return _once((name, _read_pairs(rest)) for name, rest in map(_named, lines))
        case "access":
            return _once((name, _split(rest, ",")) for name, rest in map(_named, lines))
        case "delegates":
            return [_read_delegate(line) for line in lines]
        case _ if column in _LINES:
            return lines
        case _:
            return cell.strip()


def _named(line: str) -> tuple[str, str]:
    """``name: rest``; a name may hold colons, but no space."""
    name, found, rest = line.partition(": ")
    return (name, rest) if found else (line.removesuffix(":"), "")


def _split(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]


def _read_pairs(text: str) -> dict[str, object]:
    pairs = (part.partition("=") for part in _split(text, ","))
    return _once((key.strip(), _read_word(key.strip(), value.strip())) for key, _, value in pairs)


def _once(items: Iterable[tuple[str, object]]) -> dict[str, object]:
    """The items as a mapping.

    Raises:
        ValueError: one key is given twice; nobody can say which was meant.
    """
    found: dict[str, object] = {}
    for key, value in items:
        if key in found:
            msg = f"{shown(key)} is given twice"
            raise ValueError(msg)
        found[key] = value
    return found


def _read_word(key: str, text: str) -> object:
    if key == "approvers":
        return _split(text, "|")
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if re.fullmatch(r"[0-9]{1,30}", text) else text


def _read_delegate(line: str) -> dict[str, object]:
    name, _, narrow = line.partition(" ")
    return {"to": name, "narrow": True} if narrow.strip() == "narrow" else {"to": line}
