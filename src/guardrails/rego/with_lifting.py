"""``with``, and what stands within ``every``: lifted out for regopy, put back into its plan.

regopy plans ``with`` by copying every rule that the expression reaches. On
``decision with input.tool as …`` over a policy library that takes all memory,
on ``with input as …`` it aborts, and on ``with … as rule`` the ``with`` is lost.
OPA's representation has a statement that does it at run time. So a literal ::

    found := thresholds.deny with input.args as args

is planned as a call ``found := gw_0_0(args)`` of a function that is added to the
module, ``gw_0_0(gw_w0) := gw_v if { gw_v := thresholds.deny }``, and the body of
that function in the plan is then put into a ``WithStmt``. A ``with`` that
cannot be treated so is left as it is.

``not f(x)`` in the body of ``every x in xs``, and an ``every`` in it that uses
``x``, are planned with an ``x`` that nobody assigns. They are lifted in the same
way, with nothing to put back.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import PolicyLoadError
from guardrails.rego.syntax import declared, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardrails.rego.syntax import Module, Node

_PREFIX: Final = "gw_"
_WITH: Final = re.compile(rb"with\b")
_OPEN: Final = b"([{"
_CLOSE: Final = b")]}"
_STRING: Final = re.compile(rb'"(?:\\.|[^"\\\n])*"|`[^`]*`')


@dataclass(frozen=True, slots=True)
class Lift:
    """One literal that was lifted.

    Attributes:
        package: The package of the module.
        name: The function that stands for the literal.
        targets: What each ``with`` replaces, as ``("input", "tool")``.
        file: The module, and the place of the literal in it.
        start: Its first byte in the source.
        end: The byte after its last.
    """

    package: tuple[str, ...]
    name: str
    targets: tuple[tuple[str, ...], ...]
    file: str
    row: int
    col: int
    start: int
    end: int


def lift(module: Module, number: str = "0") -> tuple[str, list[Lift]]:
    """The module's source with its ``with`` lifted, rows unchanged, and what was lifted.

    What stands within a literal that was lifted is left for another pass over the new source.

    Args:
        module: A parsed module.
        number: Keeps new names apart: those of two modules of one package, and of two passes.
    """
    source = module.source.encode()
    edits: list[tuple[int, int, bytes]] = []
    added: list[bytes] = []
    lifts: list[Lift] = []
    for rule in module.rules:
        within = {id(node) for every in rule.find("exprevery") for node in every.find("literal")}
        for literal in _literals(rule):
            if not _has_with(literal) and not (id(literal) in within and _loses_names(literal)):
                continue
            edit = _edit(module, source, rule, literal, f"{_PREFIX}{number}_{len(lifts)}")
            if edit is None or any(
                edit.lift.start < end and start < edit.lift.end for start, end, _ in edits
            ):
                continue
            edits.append((edit.lift.start, edit.lift.end, edit.call))
            added.append(edit.function)
            lifts.append(edit.lift)
    for start, end, call in sorted(edits, reverse=True):
        lost = source.count(b"\n", start, end) - call.count(b"\n")
        source = source[:start] + call + b"\n" * max(0, lost) + source[end:]
    return b"\n".join([source, *added]).decode(), lifts


def restore(document: dict[str, Any], lifts: Sequence[Lift]) -> None:
    """Puts each lifted ``with`` into the plan, in place.

    Raises:
        PolicyLoadError: It replaces a rule, which only OPA can plan.
    """
    functions = document["funcs"]["funcs"]
    strings = document["static"]["strings"]
    by_path = {tuple(function["path"][1:]): function for function in functions}
    for lifted in lifts:
        function = by_path.get((*lifted.package, lifted.name))
        if function is None:
            continue
        _move(function["blocks"], lifted)
        for target in lifted.targets:
            hidden = _rule_at(target, by_path)
            if hidden is not None:
                msg = (
                    f"`with {'.'.join(target)} as …` replaces the rule `data.{hidden}`, which"
                    " cannot be planned without OPA; replace the data or the input that the"
                    " rule reads"
                )
                raise PolicyLoadError(msg, file=lifted.file, row=lifted.row, col=lifted.col)
        if lifted.targets:
            _wrap(function, lifted, strings)


@dataclass(frozen=True, slots=True)
class _Edit:
    call: bytes
    function: bytes
    lift: Lift


def _has_with(literal: Node) -> bool:
    withs = literal.child("withseq")
    return withs is not None and bool(withs.children)


def _loses_names(literal: Node) -> bool:
    """Whether it is a ``not`` or ``every``, in which an outer ``every``'s variables are lost."""
    inner = literal.children[0]
    return inner.kind == "not-expr" or any(node.kind == "exprevery" for node in inner.children)


def _edit(module: Module, source: bytes, rule: Node, literal: Node, name: str) -> _Edit | None:
    """What becomes of one literal; None if it has to stay."""
    sequence = literal.child("withseq")
    withs = sequence.children if sequence is not None else ()
    inner = literal.children[0]
    targets = [_target(node) for node in withs]
    values = [_span(source, node.children[1]) for node in withs]
    spans = [value for value in values if value is not None]
    start = literal.start
    if inner.kind == "somedecl" or start is None or None in targets or len(spans) != len(values):
        return None
    whole = _span(source, inner) if not withs else (start, withs[0].start or start)
    if whole is None:
        return None
    end = spans[-1][1] if spans else whole[1]
    free = _free(module, rule, inner)
    if free is None:
        return None
    parameters = ", ".join([f"{_PREFIX}w{place}" for place in range(len(spans))] + free)
    arguments = [source[first:last] for first, last in spans] + [word.encode() for word in free]
    head = f"{name}({parameters})" if parameters else name
    call = name.encode() + (b"(" + b", ".join(arguments) + b")" if arguments else b"")
    bound = _bound(inner)
    if bound is None:
        function = f"{head} if {{\n".encode() + source[start : whole[1]] + b"\n}"
    else:
        right = inner.children[0].children[2].start or start
        value = f"{_PREFIX}v"
        function = (
            f"{head} := {value} if {{\n{value} := ".encode() + source[right : whole[1]] + b"\n}"
        )
        call = f"{bound} := ".encode() + call
    row, col = module.place(literal)
    kept = tuple(tuple(target) for target in targets if target is not None)
    return _Edit(
        call, function, Lift(module.package, name, kept, module.file, row, col, start, end)
    )


def _target(node: Node) -> list[str] | None:
    """The path that a ``with`` replaces, if it is constant and in the input or in data."""
    target = node.children[0]
    only = target.children[0] if target.kind == "term" and len(target.children) == 1 else target
    path = [only.text] if only.kind == "var" else path_of(only)
    return path if path is not None and path[0] in {"input", "data"} else None


def _bound(inner: Node) -> str | None:
    """The variable of ``variable := expression``; None for every other literal."""
    if inner.kind != "expr" or len(inner.children) != 1 or inner.children[0].kind != "exprinfix":
        return None
    left, operator, _ = inner.children[0].children
    variables = list(left.find("var"))
    if not any(operator.find("assign")) or len(variables) != 1:
        return None
    return variables[0].text


def _free(module: Module, rule: Node, inner: Node) -> list[str] | None:
    """The rule's own variables that the literal uses; None if it gives one of them its value."""
    inside = declared(inner)
    outside = declared(rule, without=inner)
    known = outside | inside | module.names | {"input", "data"}
    bound = {name for name in (_bound(inner),) if name is not None}
    used: set[str] = set()
    for node in _walk_values(inner):
        if node.kind == "var":
            used.add(node.text)
        elif node.kind == "exprcall":
            function = node.child("ref")
            head = next(function.find("var"), None) if function is not None else None
            known |= {head.text} if head is not None else set()
    if not used <= known | bound or used & _unbound(rule):
        return None
    return sorted((used & outside) - inside - bound)


def _unbound(rule: Node) -> set[str]:
    """The names that ``some x`` declares without ``in``, which get their value in use."""
    plain = [node for node in rule.find("somedecl") if node.child("undefined") is not None]
    return {variable.text for node in plain for variable in node.find("var")}


def _literals(rule: Node) -> Iterator[Node]:
    """The literals of bodies; those of template strings are values, and stay."""
    for query in rule.find("query"):
        yield from (node for node in query.children if node.kind == "literal")


def _walk_values(node: Node) -> Iterator[Node]:
    """All nodes but the names of fields after a dot, which are no variables."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        if current.kind != "refargdot":
            stack.extend(current.children)


def _span(source: bytes, value: Node) -> tuple[int, int] | None:
    """Where a value begins and ends; the tree's own sizes leave out the last closing bracket."""
    leaves = [node for node in value.walk() if node.start is not None]
    if not leaves:
        return None
    start = min(node.start or 0 for node in leaves)
    least = max((node.start or 0) + node.size for node in leaves)
    depth, place = 0, start
    while place < len(source):
        string = _STRING.match(source, place)
        byte = source[place : place + 1]
        if string is not None:
            place = string.end()
            continue
        if byte == b"#":
            if depth == 0:
                break
            place = source.find(b"\n", place)
            if place < 0:
                return None
            continue
        if byte in _OPEN:
            depth += 1
        elif byte in _CLOSE:
            if depth == 0:
                break
            depth -= 1
        elif depth == 0 and place >= least and (byte in b"\n;," or _WITH.match(source, place)):
            break
        place += 1
    end = start + len(source[start:place].rstrip())
    return (start, end) if depth == 0 and end >= least else None


def _rule_at(target: Sequence[str], paths: dict[tuple[str, ...], Any]) -> str | None:
    """A rule that `target` replaces, holds or lies in."""
    if target[0] != "data":
        return None
    wanted = tuple(target[1:])
    for path in paths:
        shared = min(len(path), len(wanted))
        if path[:shared] == wanted[:shared] and not path[-1].startswith(_PREFIX):
            return ".".join(path)
    return None


def _wrap(function: dict[str, Any], lifted: Lift, strings: list[dict[str, str]]) -> None:
    """Puts the function's body into one ``WithStmt`` for each target, the first outermost."""
    *blocks, last = function["blocks"]
    values = function["params"][2 : 2 + len(lifted.targets)]
    inside: list[dict[str, Any]] = [{"type": "BlockStmt", "stmt": {"blocks": blocks}}]
    for target, value in reversed(list(zip(lifted.targets, values, strict=True))):
        path = []
        for part in target[1:]:
            path.append(len(strings))
            strings.append({"value": json.dumps(part)})
        operand = {"type": "local", "value": value}
        local = 0 if target[0] == "input" else 1
        inside = [
            {"type": "IsDefinedStmt", "stmt": {"source": value}},
            {
                "type": "WithStmt",
                "stmt": {
                    "local": local,
                    "path": path,
                    "value": operand,
                    "block": {"stmts": inside},
                },
            },
        ]
    function["blocks"] = [{"stmts": inside}, last]


def _move(node: Any, lifted: Lift) -> None:
    """Gives every statement the place of the literal, rows and columns from 0 as regopy counts."""
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, list):
            stack.extend(current)
        elif isinstance(current, dict):
            if "row" in current:
                current["row"], current["col"] = lifted.row - 1, lifted.col - 1
            stack.extend(current.values())


__all__ = ["Lift", "lift", "restore"]
