"""Calls: of what is not there, with the wrong number of arguments, or where none may stand."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins import BUILTINS
from guardrails.rego.lint.finding import finding_at, written
from guardrails.rego.lint.scope import literals_of_rule, terms_of_rule
from guardrails.rego.lint.signatures import DEPRECATED, SIGNATURES
from guardrails.rego.lint.terms import Call, Ref, Var

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.scope import Env, Scope, View

_OPERATORS: Final = frozenset({"equal", "unify"})
_OUTSIDE: Final = frozenset({"http.send", "net.lookup_ip_addr", "opa.runtime"})
_NEAR: Final = 0.7
_SHOWN: Final = 3


def calls(view: View, scope: Scope) -> Iterator[Finding]:
    """Finds calls of unknown functions, with wrong arguments, and of deprecated builtins."""
    for rule in view.rules:
        # A function may stand uncalled where `with` puts it in another's place.
        given = {value for literal, _ in literals_of_rule(rule) for _, value in literal.withs}
        for term, env in terms_of_rule(rule):
            if isinstance(term, Call) and term.name and term.name not in _OPERATORS:
                yield from _call(view, scope, term, env)
            elif isinstance(term, Ref | Var) and term not in given:
                yield from _uncalled(view, scope, term, env)


def decision_path(view: View, _scope: Scope) -> Iterator[Finding]:
    """Finds clocks, chance, the network and printing where decisions are made."""
    if not view.decides:
        return
    for rule in view.rules:
        for term, _ in terms_of_rule(rule):
            name = term.name if isinstance(term, Call) else ""
            first = name.partition(".")[0]
            if name == "time.now_ns":
                message, mend = "`time.now_ns` differs at every call", "use `input.time`"
            elif first in {"rand", "uuid"}:
                message = f"`{name}` makes decisions that nobody can repeat"
                mend = "decide by what stands in `input`"
            elif name in _OUTSIDE:
                message = f"`{name}` asks the world outside, which a decision does not wait for"
                mend = "decide by what stands in `input` and `data`"
            elif name in {"print", "trace"}:
                message = f"`{name}` writes what it is given, arguments too, past all masking"
                mend = "leave it out; `guardrails policy eval --explain=full` shows values"
            else:
                continue
            yield finding_at(view.module, term.node, "nondeterminism", message, mend)


def _call(view: View, scope: Scope, call: Call, env: Env) -> Iterator[Finding]:
    definitions = scope.called(view, call.name, env)
    count = len(call.args)
    if definitions:
        wanted = len(definitions[0].rule.args)
        if definitions[0].rule.kind != "function":
            message = f"`{call.name}` is no function"
            yield finding_at(view.module, call.node, "call", message, "read it without brackets")
        elif count not in (wanted, wanted + 1):
            yield _arity(view, call, wanted)
        return
    signature = SIGNATURES.get(call.name)
    if call.name == "print":
        return
    if signature is None or call.name not in BUILTINS:
        yield _unknown(view, scope, call, known=signature is not None)
    if signature is not None and count not in (len(signature.args), len(signature.args) + 1):
        yield _arity(view, call, len(signature.args))
    if call.name in DEPRECATED:
        message = f"`{call.name}` is deprecated, and OPA refuses it in strict mode"
        yield finding_at(
            view.module, call.node, "deprecated-builtin", message, "write it with what replaced it"
        )


def _unknown(view: View, scope: Scope, call: Call, *, known: bool) -> Finding:
    if known:
        message = f"the builtin `{call.name}` is not supported here"
        mend = "decide by what stands in `input` and `data`"
        return finding_at(view.module, call.node, "unknown-builtin", message, mend)
    functions = [
        name
        for name, definitions in scope.rules_in(view.package).items()
        if definitions[0].rule.kind == "function"
    ]
    # What lies behind the last dot is misspelt more often than what stands before it.
    close = difflib.get_close_matches(call.name, [*functions, *BUILTINS], n=_SHOWN, cutoff=_NEAR)
    meant = f"; did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else ""
    message = f"`{call.name}` is no function of these policies and no builtin{meant}"
    return finding_at(
        view.module, call.node, "unknown-builtin", message, "correct its name, or define it"
    )


def _arity(view: View, call: Call, wanted: int) -> Finding:
    arguments = "argument" if wanted == 1 else "arguments"
    message = f"`{call.name}` takes {wanted} {arguments}, not {len(call.args)}"
    return finding_at(view.module, call.node, "call", message, "give it what it takes")


def _uncalled(view: View, scope: Scope, term: Ref | Var, env: Env) -> Iterator[Finding]:
    """A function that is read as if it were a rule."""
    path = scope.path(view, term, env)
    definitions, left = scope.definitions(path) if path is not None else ((), ())
    if definitions and definitions[0].rule.kind == "function" and not left:
        message = f"`{written(view.module, term.node)}` is a function, and is not called here"
        yield finding_at(view.module, term.node, "call", message, "give it its arguments")


__all__ = ["calls", "decision_path"]
