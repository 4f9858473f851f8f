"""A compiled policy as plain data: what one process makes and another one runs.

It is written as lines of JSON with some functions or constants each, so that no step of reading
one is long. What stands in the bound data is named by its path there and not copied.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self, final

from guardrails.errors import PolicyLoadError
from guardrails.rego import exact_json, ir
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.emit import allowed
from guardrails.rego.emit.program import Lookup
from guardrails.rego.emit.render import render
from guardrails.rego.input_reads import InputReads
from guardrails.rego.values import UNDEFINED, RegoSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from guardrails.rego.emit.program import Program
    from guardrails.rego.values import Value

FORMAT: Final = 3
"""The version of the text; another one is refused."""

FORMS: Final = frozenset({"getter", "key", "keys", "path", "pattern", "plain pattern", "value"})
"""What can be made of a constant's value; see :class:`~guardrails.rego.emit.program.Constant`."""

_LARGEST_MEMO: Final = 1_000_000
_KIND: Final = "compiled policy"


@final
@dataclass(frozen=True, slots=True)
class Function:
    """One function of Python.

    Attributes:
        name: As ``F5``.
        text: Its source.
        rows: For each line, the number of a file and the row in it; -1 and 0 where the planner
            says nothing.
    """

    name: str
    text: str
    rows: tuple[tuple[int, int], ...]


@final
@dataclass(frozen=True, slots=True)
class Constant:
    """One entry of the table of constants.

    Attributes:
        name: As ``K5``.
        form: One of :data:`FORMS`.
        value: The value; UNDEFINED where there is an origin.
        origin: Where it stands in the bound data; None where it stands here.
    """

    name: str
    form: str
    value: Value
    origin: tuple[str | int, ...] | None = None


@final
@dataclass(frozen=True, slots=True)
class Artefact:
    """A compiled policy.

    Attributes:
        functions: All functions, called ones first.
        entries: The function of each plan.
        constants: The table of constants.
        builtins: The names of builtins by the names that they are called by.
        tables: Names of functions by those of constants, for each table by its name.
        lookups: What is kept of rules' values, by the names that it goes by.
        memo: How many rules have a place in the memo.
        files: The files that rows are counted in.
        reads: What plans may read of their input, by their names, where that was worked out.
    """

    functions: tuple[Function, ...]
    entries: Mapping[str, str]
    constants: tuple[Constant, ...]
    builtins: Mapping[str, str]
    tables: Mapping[str, Mapping[str, str]]
    lookups: Mapping[str, Lookup]
    memo: int
    files: tuple[str, ...]
    reads: Mapping[str, InputReads] = field(default_factory=dict)

    @classmethod
    def from_program(cls, program: Program) -> Self:
        """What is left of a policy, written out.

        Raises:
            CannotEmit: Python cannot nest as deeply as a function would have to.
        """
        files: dict[str, int] = {}
        functions = []
        for each in (*program.functions, *program.entries.values()):
            rendered = render(each.name, each.params, each.body)
            rows = tuple(_row(place, files) for place in rendered.places)
            functions.append(Function(rendered.name, rendered.text, rows))
        constants = [
            Constant(
                each.name, each.form, each.value if each.origin is None else UNDEFINED, each.origin
            )
            for each in program.constants
        ]
        return cls(
            tuple(functions),
            {name: each.name for name, each in program.entries.items()},
            tuple(constants),
            dict(program.builtins),
            {name: dict(table) for name, table in program.tables.items()},
            dict(program.lookups),
            program.memo,
            tuple(files),
        )

    def lines(self) -> Iterator[str]:
        """Its text, line by line, without their ends.

        Raises:
            ValueError: A number has more digits than Python writes.
        """
        head = {
            "kind": _KIND,
            "format": FORMAT,
            "memo": self.memo,
            "files": list(self.files),
            "entries": dict(self.entries),
            "builtins": dict(self.builtins),
            "tables": {name: dict(table) for name, table in self.tables.items()},
            "lookups": {
                name: [each.function, each.params, each.path, each.sources]
                for name, each in self.lookups.items()
            },
            "reads": {
                name: [sorted(each.whole), sorted(each.looked_up)]
                for name, each in self.reads.items()
            },
        }
        functions = list(_gathered(map(_function_text, self.functions)))
        yield json.dumps({**head, "functions": len(functions), "constants": len(self.constants)})
        yield from functions
        yield from _gathered(map(_constant_text, self.constants))
        yield _END

    def dumps(self) -> bytes:
        """Its text. Errors as :meth:`lines`."""
        return "".join(f"{line}\n" for line in self.lines()).encode("ascii")

    @classmethod
    def loads(cls, text: bytes, *, vouched: bool = False) -> Self:
        """The compiled policy that a text describes.

        Args:
            text: What :meth:`dumps` gave.
            vouched: The sources were held against :mod:`~guardrails.rego.emit.allowed` before,
                and nobody else can have changed the text since.

        Raises:
            PolicyLoadError: It is no such text, or its functions hold what is not allowed.
        """
        try:
            return _loaded(cls, text.decode("ascii").split("\n"), vouched=vouched)
        except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
            msg = f"the compiled policy cannot be used: {type(error).__name__}: {error}"
            raise PolicyLoadError(msg) from error

    def check(self) -> None:
        """Hold the source of every function against what is allowed.

        Raises:
            NotAllowed: Something else stands in one.
        """
        known = {each.name for each in self.functions} | {each.name for each in self.constants}
        known |= self.builtins.keys() | self.tables.keys() | self.lookups.keys()
        for function in self.functions:
            allowed.check(function.name, function.text, known)

    def place(self, function: Function, line: int) -> ir.Location:
        """The place in the policy of a line of a function, counted from 1."""
        file, row = function.rows[line - 1] if 0 < line <= len(function.rows) else _NO_ROW
        if file < 0:
            return ir.NOWHERE
        return ir.Location(self.files[file], row or None)


_NO_ROW: Final = (-1, 0)
_END: Final = "[]"
_LINE: Final = 1 << 16
"""Characters of a line beyond which another one is begun."""


def _gathered(texts: Iterable[str]) -> Iterator[str]:
    """Lines with arrays of `texts`."""
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size > _LINE:
            yield f"[{','.join(held)}]"
            held, size = [], 0
    if held:
        yield f"[{','.join(held)}]"


def _function_text(function: Function) -> str:
    rows = [part for row in function.rows for part in row]
    return json.dumps([function.name, function.text, rows])


def _constant_text(constant: Constant) -> str:
    parts = [constant.name, constant.form]
    if constant.origin is not None:
        return exact_json.text([*parts, list(constant.origin)])
    return exact_json.text([*parts, None, constant.value])


def _row(place: ir.Location, files: dict[str, int]) -> tuple[int, int]:
    if place.file is None:
        return _NO_ROW
    return files.setdefault(place.file, len(files)), place.row or 0


class _MalformedError(ValueError):
    """A text is no compiled policy."""


def _need(holds: bool, what: str) -> None:  # noqa: FBT001  # a condition, as in assert
    if not holds:
        raise _MalformedError(what)


def _loaded(cls: type[Artefact], lines: Sequence[str], *, vouched: bool) -> Artefact:
    head = json.loads(lines[0])
    _need(
        type(head) is dict and head.get("kind") == _KIND and head.get("format") == FORMAT,
        "it is none of this version",
    )
    files, entries, builtins, tables = (
        head[name] for name in ("files", "entries", "builtins", "tables")
    )
    memo, many = head["memo"], head["functions"]  # these many lines
    _need(type(memo) is type(many) is int and memo >= 0 and many >= 0, "a count is none")
    _need(memo <= _LARGEST_MEMO, "its memo is too large")
    _need(len(lines) > many + 2 and lines[-2:] == [_END, ""], "it is torn")
    _need(type(files) is list and all(type(file) is str for file in files), "a file is no name")
    functions = tuple(
        _function(each, len(files)) for line in lines[1 : 1 + many] for each in json.loads(line)
    )
    constants = tuple(
        _constant(each) for line in lines[1 + many : -2] for each in exact_json.read(line)
    )
    defined = [each.name for each in functions] + [each.name for each in constants]
    _need(type(tables) is dict, "a table is none")
    for kind in (entries, builtins, *tables.values()):
        _need(
            type(kind) is dict and all(type(each) is str for each in kind.values()),
            "a table is none",
        )
    _need(len(constants) == head["constants"], "it is torn")
    _need(type(head["lookups"]) is dict, "a look-up is none")
    lookups = {name: _lookup(each) for name, each in head["lookups"].items()}
    names = {*defined, *builtins, *tables, *lookups}
    _need(
        len(names) == len(defined) + len(builtins) + len(tables) + len(lookups),
        "a name stands for two things",
    )
    _need(all(allowed.GLOBAL.fullmatch(name) for name in names), "a name is none of a program's")
    _need(all(name in BUILTINS for name in builtins.values()), "a builtin is not known")
    called = {each.name for each in functions}
    _need(called.issuperset(entries.values()), "an entry is no function")
    texts = {each.name for each in constants if type(each.value) is str and each.form == "value"}
    for table in tables.values():
        _need(called.issuperset(table.values()), "a table holds what is no function")
        _need(texts.issuperset(table), "a table has a key that is no text")
    objects = {each.name for each in constants if each.form == "value"}
    for lookup in lookups.values():
        _need(lookup.function in called - {*entries.values()}, "a look-up is of no function")
        _need(objects.issuperset(lookup.sources), "a look-up is in what is no constant")
    _need(type(head["reads"]) is dict, "what is read is none")
    reads = {name: InputReads(*map(_paths, each)) for name, each in head["reads"].items()}
    _need(entries.keys() >= reads.keys(), "what is read is of no plan")
    found = cls(functions, entries, constants, builtins, tables, lookups, memo, tuple(files), reads)
    if not vouched:
        found.check()
    return found


def _function(item: Any, files: int) -> Function:
    name, text, rows = item
    _need(type(name) is str and type(text) is str and type(rows) is list, "a function is none")
    _need(len(rows) == 2 * text.count("\n"), "a function's lines have no places")
    _need(set(map(type, rows)) <= {int}, "a place is none")
    which, where = rows[::2], rows[1::2]
    _need(not rows or -1 <= min(which) <= max(which) < files, "a place is in no file")
    _need(not rows or min(where) >= 0, "a place is none")
    return Function(name, text, tuple(zip(which, where, strict=True)))


def _lookup(item: Any) -> Lookup:
    function, *texts = item
    _need(type(function) is str and len(texts) == _TEXTS, "a look-up is none")
    for each in texts:
        _need(type(each) is list and all(type(name) is str for name in each), "a look-up is none")
    params, path, sources = map(tuple, texts)
    _need({"i0", "m0"}.issuperset(params), "a look-up takes something else")
    return Lookup(function, params, path, sources)


_TEXTS: Final = 3


def _paths(item: Any) -> frozenset[tuple[str, ...]]:
    _need(type(item) is list and all(map(_is_names, item)), "a path is none")
    return frozenset(map(tuple, item))


def _constant(item: Any) -> Constant:
    name, form, origin, *given = item
    _need(type(name) is str and form in FORMS, "a constant is none")
    if origin is not None:
        _need(
            type(origin) is list and all(type(part) in (str, int) for part in origin) and not given,
            "an origin is no path",
        )
        return Constant(name, form, UNDEFINED, tuple(origin))
    (value,) = given
    _need(_FITS.get(form, _anything)(value), "a constant has another form")
    return Constant(name, form, value)


def _anything(_value: Value) -> bool:
    return True


def _is_names(value: Value) -> bool:
    return type(value) is list and all(type(name) is str for name in value)


_FITS: Final[Mapping[str, Callable[[Value], bool]]] = {
    "getter": lambda value: _is_names(value) and bool(value),
    "keys": lambda value: type(value) in (list, dict, RegoSet),
    "path": _is_names,
    "pattern": lambda value: type(value) is str,
    "plain pattern": lambda value: type(value) is str,
}
