"""From a written program to functions that run.

Each function is compiled by itself, so that no step holds the interpreter for long, and is
registered with :mod:`linecache`, so that tracebacks and debuggers show its lines.
"""

from __future__ import annotations

import hashlib
import linecache
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import EvaluationError
from guardrails.rego import ir
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.determinate import search_for
from guardrails.rego.builtins.regex import compiled
from guardrails.rego.emit.render import render
from guardrails.rego.emit.runtime import HELPERS, lenient
from guardrails.rego.operations import dot
from guardrails.rego.values import UNDEFINED, RegoSet, to_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.rego.emit.render import Rendered
    from guardrails.rego.emit.unit import Constant, Program
    from guardrails.rego.values import Value


@dataclass(frozen=True, slots=True)
class Linked:
    """A compiled policy, ready to run.

    Attributes:
        entries: For each plan, its function: input, data, context to what it gives.
        single: The plans whose function gives a value, and not a list of results.
        places: For each line of each source, by the source's name, the place in the policy.
        sources: The texts by their names.
    """

    entries: Mapping[str, Callable[[Value, Value, Any], Value]]
    single: frozenset[str]
    places: Mapping[str, tuple[ir.Location, ...]]
    sources: Mapping[str, str]


def link(program: Program, data: Value, *, strict: bool) -> Linked:
    """The functions of `program`, bound to `data`."""
    rendered = [render(each.name, each.params, each.body) for each in program.functions]
    plans = {
        name: render(each.name, each.params, each.body) for name, each in program.entries.items()
    }
    space = dict(HELPERS)
    space["__builtins__"] = PYTHON
    space["MEMO"] = [HELPERS["N"]] * program.memo
    for constant in program.constants:
        space[constant.name] = bound(constant, data)
    for text, name in program.builtins.items():
        call = BUILTINS[name].call
        space[text] = call if strict else lenient(call)
    digest = hashlib.sha256("".join(each.text for each in (*rendered, *plans.values())).encode())
    prefix = digest.hexdigest()[:12]
    places: dict[str, tuple[ir.Location, ...]] = {}
    sources: dict[str, str] = {}
    for each in (*rendered, *plans.values()):
        file = f"<rego {prefix} {each.name}>"
        _define(each, file, space)
        places[file], sources[file] = each.places, each.text
    for table, chosen in program.tables.items():
        space[table] = {space[key]: space[function] for key, function in chosen.items()}
    entries = {name: space[each.name] for name, each in plans.items()}
    single = frozenset(name for name, each in plans.items() if not each.name.endswith("S"))
    return Linked(entries, single, places, sources)


def _define(each: Rendered, file: str, space: dict[str, Any]) -> None:
    code = compile(each.text, file, "exec", dont_inherit=True)
    exec(code, space)  # noqa: S102  # only names of this module's making stand in the text
    linecache.cache[file] = (len(each.text), None, each.text.splitlines(keepends=True), file)


PYTHON: Final = {
    name: getattr(__builtins__, name, None) or __builtins__[name]  # type: ignore[index]
    for name in ("dict", "enumerate", "frozenset", "len", "list", "map", "set", "sorted", "str")
    + ("bool", "type")
}
"""All that compiled functions see of Python's builtins."""


def bound(constant: Constant, data: Value) -> Any:
    """What stands under the name of a constant."""
    value = constant.value
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
    if constant.form == "pattern":
        return compiled(value).search
    if constant.form == "plain pattern":
        return search_for(value)
    return value
