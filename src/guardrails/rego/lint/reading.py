"""The rules of a module, read from the parser's tree into :mod:`~guardrails.rego.lint.terms`."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from guardrails.rego.lint.terms import (
    WILDCARD,
    Bind,
    Branch,
    Call,
    Comprehension,
    Every,
    Holds,
    Items,
    Literal,
    Not,
    Object,
    Query,
    Ref,
    Rule,
    Scalar,
    Some,
    Term,
    Var,
)
from guardrails.rego.numerals import parse_decimal

if TYPE_CHECKING:
    from guardrails.rego.syntax import Module, Node

_OPERATORS: Final = {
    "equals": "equal",
    "notequals": "neq",
    "lessthan": "lt",
    "lessthanorequals": "lte",
    "greaterthan": "gt",
    "greaterthanorequals": "gte",
    "add": "plus",
    "subtract": "minus",
    "multiply": "mul",
    "divide": "div",
    "modulo": "rem",
    "and": "and",
    "or": "or",
}
_LONG: Final = 1000
_COMPREHENSIONS: Final = {"arraycompr": "array", "setcompr": "set", "objectcompr": "object"}


def rules_of(module: Module) -> tuple[Rule, ...]:
    """The rules of `module`, in the order of the source."""
    return tuple(_rule(node) for node in module.rules)


def _rule(node: Node) -> Rule:
    is_default = any(child.kind == "true" for child in node.children[:1])
    head = node.child("rulehead")
    reference = head.child("ruleref") if head is not None else None
    inner = reference.children[0] if reference is not None and reference.children else None
    name = ""
    steps: tuple[Term, ...] = ()
    if inner is not None and inner.kind == "ref":
        whole = _reference(inner)
        name, steps = (whole.head.name if isinstance(whole.head, Var) else ""), whole.steps
    elif inner is not None:
        name = inner.text
    path = [name]
    for step in steps:
        if not isinstance(step, Scalar) or not isinstance(step.value, str):
            break
        path.append(step.value)
    form = head.children[-1] if head is not None else node
    args: tuple[Term, ...] = ()
    key = value = None
    kind = "complete"
    if form.kind == "ruleheadset":
        kind, key = "set", _term(form.children[0])
    elif form.kind == "ruleheadobj":
        kind, key, value = "object", _term(form.children[0]), _term(form.children[1])
    elif form.kind == "ruleheadfunc":
        kind = "function"
        given = form.child("ruleargs")
        args = tuple(_term(one) for one in given.children) if given is not None else ()
        value = _term(form.children[-1])
    elif form.children:
        value = _term(form.children[0])
    if kind == "complete" and any(not isinstance(step, Scalar) for step in steps):
        kind = "object"
    bodies = node.child("rulebodyseq")
    branches: list[Branch] = []
    for body in bodies.children if bodies is not None else ():
        if body.kind == "else":
            query = body.child("query")
            own = next((each for each in body.children if each.kind != "query"), None)
            branches.append(Branch(body, _term(own) if own is not None else None, _query(query)))
        else:
            branches.append(Branch(body, value, _query(body)))
    return Rule(node, name, tuple(path), steps, kind, is_default, args, key, value, tuple(branches))


def _query(node: Node | None) -> Query:
    return () if node is None else tuple(_literal(child) for child in node.children)


def _literal(node: Node) -> Literal:
    sequence = node.child("withseq")
    withs = tuple(
        (_term(one.children[0]), _term(one.children[1]))
        for one in (sequence.children if sequence is not None else ())
    )
    inner = node.children[0]
    if inner.kind == "not-expr":
        body = inner.child("query")
        # Of a body in braces the parser gives its own place, else that of the `not`.
        braces = body is not None and body.start != inner.start
        return Not(inner, withs, _query(body), braces)
    if inner.kind == "somedecl":
        names = inner.children[0]
        targets = tuple(_term(one) for one in names.children)
        domain = inner.children[1] if len(inner.children) > 1 else None
        bare = domain is None or domain.kind == "undefined"
        return Some(inner, withs, targets, None if bare or domain is None else _term(domain))
    only = inner.children[0] if len(inner.children) == 1 else inner
    if only.kind == "exprevery":
        names, domain, body = only.children[0], only.children[1], only.children[-1]
        variables = tuple(_variable(one) for one in names.children)
        return Every(only, withs, variables, _term(domain), _query(body))
    if only.kind == "exprinfix" and only.children[1].children[0].kind == "assignoperator":
        declares = any(only.children[1].find("assign"))
        left, right = _term(only.children[0]), _term(only.children[2])
        return Bind(only, withs, left, right, declares)
    return Holds(inner, withs, _term(inner))


def _term(node: Node) -> Term:  # noqa: C901, PLR0912  # one case for each kind of node  # one return for each kind of node
    while node.kind in {"expr", "term", "exprparens", "string"} and len(node.children) == 1:
        node = node.children[0]
    match node.kind:
        case "var" | "placeholder":
            return _variable(node)
        case "scalar":
            return Scalar(node, _value(node.children[0]))
        case "ref":
            return _reference(node)
        case "exprcall":
            return _call(node)
        case "array" | "set":
            return Items(node, node.kind, tuple(_term(child) for child in node.children))
        case "object":
            pairs = tuple(
                (_term(item.children[0]), _term(item.children[1])) for item in node.children
            )
            return Object(node, pairs)
        case "arraycompr" | "setcompr" | "objectcompr":
            heads = tuple(_term(child) for child in node.children[:-1])
            return Comprehension(node, _COMPREHENSIONS[node.kind], heads, _query(node.children[-1]))
        case "exprinfix":
            operator = node.children[1].children[0].children[0].kind
            sides = (_term(node.children[0]), _term(node.children[2]))
            return Call(node, _OPERATORS.get(operator, "unify"), sides, infix=True)
        case "membership":
            sought = tuple(_term(child) for child in node.children[0].children)
            name = f"internal.member_{len(sought) + 1}"
            return Call(node, name, (*sought, _term(node.children[-1])), infix=True)
        case "unaryexpr":
            zero = Scalar(node, 0)
            return Call(node, "minus", (zero, _term(node.children[0])), infix=True)
        case "templatestring":
            held = (child.children[0] for child in node.children if child.kind == "literal")
            return Call(node, "", tuple(_term(one) for one in held), infix=True)
        case _:
            return Call(node, "", tuple(_term(child) for child in node.children), infix=False)


def _variable(node: Node) -> Var:
    is_wildcard = node.kind == "placeholder" or node.text.startswith("_$") or node.text == "_"
    return Var(node, WILDCARD if is_wildcard else node.text)


def _reference(node: Node) -> Ref:
    head = node.child("refhead")
    first = head.children[0] if head is not None and head.children else node
    steps: list[Term] = []
    following = node.child("refargseq")
    for step in following.children if following is not None else ():
        inner = step.children[0]
        steps.append(Scalar(inner, inner.text) if step.kind == "refargdot" else _term(inner))
    return Ref(node, Var(node, "") if first is node else _term(first), tuple(steps))


def _call(node: Node) -> Call:
    reference = node.child("ref")
    given = node.child("exprseq")
    args = tuple(_term(one) for one in given.children) if given is not None else ()
    name = ""
    if reference is not None:
        callee = _reference(reference)
        words = [callee.head.name] if isinstance(callee.head, Var) else []
        words += [
            step.value
            for step in callee.steps
            if isinstance(step, Scalar) and isinstance(step.value, str)
        ]
        name = ".".join(words) if len(words) == len(callee.steps) + 1 else ""
    return Call(node, name, args, infix=False)


def _value(node: Node) -> str | int | Decimal | bool | None:
    while node.children:
        node = node.children[0]
    match node.kind:
        case "true" | "false":
            return node.kind == "true"
        case "null":
            return None
        case "INT" | "FLOAT":
            exact = _number(node.text)
            # A number of thousands of digits stays as it is: Python refuses to write such an int.
            return int(exact) if node.kind == "INT" and len(node.text) < _LONG else exact
        case "rawstring" | "RAWSTRING":
            return node.text[1:-1]
        case _:
            try:
                decoded = json.loads(node.text, strict=False)
            except ValueError:
                decoded = node.text.strip('"')
            return decoded if isinstance(decoded, str) else node.text


def _number(text: str) -> Decimal:
    try:
        return parse_decimal(text)
    except ValueError:
        # Every planner refuses it, which is told; until then its digits do.
        return Decimal(re.split("[eE]", text)[0])


__all__ = ["rules_of"]
