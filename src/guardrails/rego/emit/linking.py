"""From a compiled policy to functions that run.

Each function is compiled by itself, so that no step holds the interpreter for long: Python hands
its lock on between two of them, when another thread asks for it. Each is registered with
:mod:`linecache`, so that tracebacks and debuggers show its lines, for as long as it lives.
"""

from __future__ import annotations

import builtins
import hashlib
import linecache
import operator
import re
import sys
import weakref
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, final

from guardrails.errors import EvaluationError
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.determinate import search_for
from guardrails.rego.builtins.regex import compiled
from guardrails.rego.emit.allowed import MEMO, PYTHON_NAMES
from guardrails.rego.emit.faults import CAUGHT, FAULT, Faults, guarded
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.keyed import Kept
from guardrails.rego.emit.runtime import HELPERS, lenient
from guardrails.rego.operations import dot
from guardrails.rego.values import UNDEFINED, RegoSet, to_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guardrails.rego.emit.artefact import Artefact, Constant, Function
    from guardrails.rego.emit.program import Lookup
    from guardrails.rego.values import Value

PYTHON: Final = {name: getattr(builtins, name) for name in sorted(PYTHON_NAMES)}
"""All that compiled functions see of Python's builtins."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Linked:
    """A compiled policy, ready to run.

    Attributes:
        entries: For each plan, its function: what it gives for an input and, where it needs them,
            the context and the data. It raises nothing but an EvaluationError, unless Python has
            no room left to call it.
        single: The plans whose function gives a value, and not a list of results.
        artefact: What it was made of.
        functions: The functions by the names that Python knows their sources by.
    """

    entries: Mapping[str, Callable[..., Value]]
    single: frozenset[str]
    artefact: Artefact
    functions: Mapping[str, Function]


def link(artefact: Artefact, data: Value, *, strict: bool) -> Linked:
    """The functions of `artefact`, bound to `data`.

    Args:
        artefact: Made here, or held against the allow-list when it was read.
        data: The documents that it was compiled for.
        strict: Errors of builtins are errors of the evaluation; else they are undefined.

    Raises:
        CannotEmit: Python cannot compile one of them.
        EvaluationError: A constant is not in the data.
    """
    space = _space(artefact, data, strict=strict)
    digest = hashlib.sha256()
    for function in artefact.functions:
        digest.update(function.text.encode())
    prefix = digest.hexdigest()[:12]
    functions: dict[str, Function] = {}
    space.update(CAUGHT)
    faults = Faults(artefact, functions)
    space[FAULT] = faults.error
    called = frozenset(artefact.entries.values())
    for each in artefact.functions:
        function = guarded(each) if each.name in called else each
        file = f"<rego {prefix} {function.name}>"
        _define(function, file, space)
        functions[file] = function
    for name, lookup in artefact.lookups.items():
        space[name] = _kept(lookup, space)
    for name, table in artefact.tables.items():
        space[name] = {space[key]: space[function] for key, function in table.items()}
    entries = {name: space[function] for name, function in artefact.entries.items()}
    single = frozenset(
        name for name, function in artefact.entries.items() if not function.endswith("S")
    )
    _register(faults, functions)
    return Linked(entries, single, artefact, functions)


def always(artefact: Artefact, data: Value, lookup: Lookup, *, strict: bool) -> Value:
    """What a rule gives that does not depend on the input; arguments and errors as :func:`link`.

    Raises:
        Exception: Whatever the rule ends in.
    """
    space = _space(artefact, data, strict=strict)
    for function in artefact.functions:
        _define(function, f"<rego {function.name}>", space)
    for name, each in artefact.lookups.items():
        space[name] = _kept(each, space)
    return _kept(lookup, space)[None]


def _space(artefact: Artefact, data: Value, *, strict: bool) -> dict[str, Any]:
    """What functions see beside one another."""
    space: dict[str, Any] = dict(HELPERS)
    space["__builtins__"] = PYTHON
    space[MEMO] = [HELPERS["N"]] * artefact.memo
    for constant in artefact.constants:
        space[constant.name] = bound(constant, data)
    for text, name in artefact.builtins.items():
        call = BUILTINS[name].call
        space[text] = call if strict else lenient(call)
    return space


def _kept(lookup: Lookup, space: Mapping[str, Any]) -> Kept:
    """What keeps the values of a rule, empty as yet."""
    call, memo = space[lookup.function], space[MEMO]
    takes = lookup.params

    def value(document: Value) -> Value:
        given = {"i0": document, "m0": memo.copy()}
        return call(*[given[param] for param in takes])

    return Kept(value, lookup.path, [space[name] for name in lookup.sources])


def _define(function: Function, file: str, space: dict[str, Any]) -> None:
    """Make a function; scalars of the policy become constants of its code.

    Their names stand in its text, so that nothing of the policy does. To take them from the
    globals would cost a look-up each time. So Python compiles the names as texts, where nothing
    is worked out of them, and they are exchanged for what they stand for.
    """
    text = _SCALAR.sub(lambda found: _quoted(found[0], space), function.text)
    try:
        code = compile(text, file, "exec", dont_inherit=True)
    except (SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        msg = f"Python cannot compile a function: {error}"
        raise CannotEmit(msg) from error
    exec(code, space)  # noqa: S102  # made by the emitter, or held against its allow-list
    made = space[function.name]
    constants = tuple(_placed(each, space) for each in made.__code__.co_consts)
    made.__code__ = made.__code__.replace(co_consts=constants)


_SCALAR: Final = re.compile(
    r"(?<=\w\[)K\d+(?=\])"  # a look-up
    r"|(?<=\.get\()K\d+(?=, )"
    r"|(?<=[{ ])K\d+(?=: )|(?<=: )K\d+(?=[,}])"  # a name and a value of an object
    r"|(?<=: \[)K\d+(?=\])"  # the one item of an array
    r"|(?<= [<>=]= )K\d+\b(?! [<>=])|\bK\d+(?= (?:not )?in [a-z])"  # a comparison
)


def _quoted(name: str, space: Mapping[str, Any]) -> str:
    return f"'{name}'" if type(space[name]) in _SCALARS else name


_SCALARS: Final = frozenset((str, int, Decimal))


def _placed(constant: Any, space: Mapping[str, Any]) -> Any:
    """What stands in the code for one of its constants, which may be the name of another."""
    if type(constant) is tuple:
        return tuple(_placed(each, space) for each in constant)
    if type(constant) is str and _NAMED.fullmatch(constant):
        return space[constant]
    return constant


_NAMED: Final = re.compile(r"K\d+")


def _register(faults: Faults, functions: Mapping[str, Function]) -> None:
    """Show the lines in tracebacks until the functions are gone, which hold `faults`."""
    entries = []
    for file, function in functions.items():
        lines = function.text.splitlines(keepends=True)
        entry = (len(function.text), None, lines, file)
        linecache.cache[file] = entry
        entries.append((file, entry))
    weakref.finalize(faults, _forget, entries).atexit = False


def _forget(entries: Iterable[tuple[str, Any]]) -> None:
    for file, entry in entries:
        # The same text may have been registered again since.
        if linecache.cache.get(file) is entry:
            linecache.cache.pop(file, None)


def bound(constant: Constant, data: Value) -> Any:
    """What stands under the name of a constant."""
    value = constant.value
    if type(value) is str and len(value) <= _NAME:
        # A look-up in an object need not compare texts where both are one.
        value = sys.intern(value)
    if constant.origin is not None:
        value = data
        for name in constant.origin:
            value = dot(value, name)
        if value is UNDEFINED:
            raise EvaluationError("eval_internal_error", "a constant is not in the data")
    if constant.form == "key":
        return to_key(value)
    if constant.form == "keys":
        items = value.values() if type(value) is dict else value
        return frozenset(value.keys if type(value) is RegoSet else map(to_key, items))
    if constant.form == "path":
        return tuple(value)
    if constant.form == "getter":
        return operator.itemgetter(*value)
    if constant.form == "pattern":
        return compiled(value).search
    if constant.form == "plain pattern":
        return _plain_search(value)
    return value


_NAME: Final = 64
"""Characters of the longest text that may be a name."""


def _plain_search(pattern: str) -> Any:
    search = search_for(pattern)
    if search is None:
        msg = "a pattern is none that Python's own engine may match"
        raise CannotEmit(msg)
    return search
