"""Rules that read nothing of the input but one name, and take that only to look things up in data.

What such a rule gives for a name never changes, and there are as many names as data has: it is
worked out once for each of them, the first time that it is asked for. What a name gives that
data does not have is the same for all of those.
"""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING, Final, final

from guardrails.rego.emit import residual
from guardrails.rego.emit.program import Lookup
from guardrails.rego.emit.shapes import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from guardrails.rego.emit.program import Constant, Emitted
    from guardrails.rego.emit.shapes import Shape
    from guardrails.rego.values import Value

Path = tuple[str, ...]


class _Other(Exception):  # noqa: N818  # a signal: the function reads more than one name
    """A function depends on something else."""


def lookup_for(
    emitted: Emitted,
    constants: Mapping[str, Constant],
    functions: Mapping[str, Emitted],
    lookups: Mapping[str, Lookup],
    shape: Shape,
) -> Lookup | None:
    """How a function's values may be kept by a name; None if it depends on something else.

    Args:
        emitted: A rule's function.
        constants: Those of the program, by name.
        functions: The functions that it may call, by name.
        lookups: What is kept so already.
        shape: What every input is promised to be.
    """
    reading = _Reading(constants, functions, lookups)
    try:
        reading.function(emitted)
    except _Other:
        return None
    path = reading.path or ()
    here = shape
    for name in path:
        if not here.is_only(Kind.OBJECT):
            return None
        here = here.at(name)
    if path and not here.is_only(Kind.STRING):
        return None
    return Lookup(emitted.name, emitted.params, path, tuple(sorted(reading.sources)))


class _Reading:
    """Goes through functions and notes what they take from the input.

    Attributes:
        path: Where the one name stands in the input; None while none was seen.
        sources: The constants in which it is looked up.
    """

    def __init__(
        self,
        constants: Mapping[str, Constant],
        functions: Mapping[str, Emitted],
        lookups: Mapping[str, Lookup],
    ) -> None:
        self.path: Path | None = None
        self.sources: set[str] = set()
        self._constants = constants
        self._functions = functions
        self._lookups = lookups
        self._done: set[str] = set()
        self._paths: dict[str, Path] = {}
        self._times: Counter[str] = Counter()

    def function(self, emitted: Emitted) -> None:
        """Go through one function that takes the input and the memo alone."""
        if emitted.name in self._done:
            return
        self._done.add(emitted.name)
        if not set(emitted.params) <= _TAKEN:
            raise _Other
        outside = self._paths, self._times
        nodes = list(residual.walk(emitted.body))
        self._paths = {"i0": ()}
        self._times = Counter(name for node in nodes for name in residual.assigned(node))
        for node in nodes:
            if isinstance(node, residual.Set):
                self._assign(node.name, ast.parse(node.value, mode="eval").body)
                continue
            for text in residual.texts(node):
                self._plain(ast.parse(text, mode="eval").body)
        self._paths, self._times = outside

    def _assign(self, name: str, value: ast.expr) -> None:
        path = self._part(value)
        if path is None:
            return
        if self._times[name] != 1 or not path:
            raise _Other
        self._paths[name] = path

    def _plain(self, node: ast.AST) -> None:
        """Go through an expression that must not be a part of the input itself."""
        if self._part(node) is not None:
            raise _Other

    def _part(self, node: ast.AST) -> Path | None:
        """The path in the input of what an expression gives; None if it is no part of it."""
        match node:
            case ast.Name(id=name):
                return self._paths.get(name)
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                self._assign(name, value)
                return self._paths.get(name)
            case ast.Subscript(value=ast.Name(id=name), slice=key) if name in self._lookups:
                self._kept(self._lookups[name], key)
            case ast.Subscript(value=value, slice=key):
                path = self._part(value)
                self._plain(key)
                if path is not None:
                    return (*path, self._name(key))
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="get"), args=[key, default]
            ) if name in self._constants:
                self._looked_up(name, self._part(key))
                self._plain(default)
            case ast.Call(func=ast.Name(id=name), args=args) if name in self._functions:
                self._called(self._functions[name], args)
            case _:
                for child in ast.iter_child_nodes(node):
                    self._plain(child)
        return None

    def _name(self, key: ast.expr) -> str:
        constant = self._constants.get(key.id) if isinstance(key, ast.Name) else None
        if constant is None or constant.form != "value" or type(constant.value) is not str:
            raise _Other
        return constant.value

    def _looked_up(self, name: str, path: Path | None) -> None:
        if path is None:
            return
        constant = self._constants[name]
        if constant.form != "value":
            raise _Other
        self._needs(path, (name,))

    def _kept(self, lookup: Lookup, key: ast.expr) -> None:
        path = self._part(key)
        if path is not None:
            self._needs(path, lookup.sources)

    def _needs(self, path: Path, sources: Collection[str]) -> None:
        if not path or self.path not in (None, path):
            raise _Other
        self.path = path
        self.sources.update(sources)

    def _called(self, callee: Emitted, args: Sequence[ast.expr]) -> None:
        for param, arg in zip(callee.params, args, strict=True):
            whole = isinstance(arg, ast.Name) and arg.id == param
            if not whole or param not in _TAKEN:
                self._plain(arg)
        if set(callee.params) & _OTHERS:
            raise _Other
        if "i0" in callee.params:
            if not set(callee.params) <= _TAKEN:
                raise _Other
            self.function(callee)
        elif "m0" in callee.params:
            raise _Other


_TAKEN: Final = frozenset({"i0", "m0"})
_OTHERS: Final = frozenset({"c0", "d0"})


_MOST: Final = 1000
_LONGEST: Final = 200
"""Names that data does not have, and characters of one, that are kept."""


@final
class Kept(dict[str | None, "Value"]):
    """The values of a rule by the name that it depends on; None stands for no name.

    Threads may share it: what two of them work out at once is the same. It grows no further
    than data has names, and some others; these have one value in common.
    """

    __slots__ = ("_call", "_other", "_path", "_room", "_sources")

    def __init__(
        self, call: Callable[[Value], Value], path: Path, sources: Sequence[Mapping[str, Value]]
    ) -> None:
        super().__init__()
        self._call = call
        self._path = path
        self._sources = sources
        self._other: list[Value] = []
        self._room = _MOST

    def __missing__(self, name: str | None) -> Value:
        """The value for a name that was not asked for yet."""
        if name is None or any(name in source for source in self._sources):
            found = self[name] = self._call(self._document(name))
            return found
        if not self._other:
            self._other.append(self._call(self._document(name)))
        found = self._other[0]
        if self._room and len(name) <= _LONGEST:
            self._room -= 1
            self[name] = found
        return found

    def _document(self, name: str | None) -> Value:
        """An input that has this name, and nothing else."""
        document: Value = name
        for each in reversed(self._path):
            document = {each: document}
        return document
