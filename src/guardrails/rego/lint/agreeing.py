"""The comparison of both planners as a check, over inputs that fit the policies."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import PolicyLoadError
from guardrails.rego.agreement import compared
from guardrails.rego.agreement_inputs import Vocabulary
from guardrails.rego.lint.finding import Finding
from guardrails.rego.lint.scope import terms_of_rule
from guardrails.rego.lint.terms import Ref, Scalar
from guardrails.rego.values import dumps, from_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.rego.lint.scope import Scope, View

_TEXTS: Final = 400
_LONG: Final = 100
_LARGE: Final = 10**18
_MEND: Final = (
    "write it so that both agree: `import future.keywords.not`, one condition a line; or take the"
    " planner `opa` for both"
)


def disagreements(  # noqa: PLR0913  # what a comparison needs
    scope: Scope,
    views: Sequence[View],
    entrypoints: Sequence[str],
    data: Mapping[str, Any] | None,
    *,
    opa: str,
    inputs: int,
) -> list[Finding]:
    """What the planners disagree about in `views`; nothing if one of them cannot plan them.

    A refusal is a finding of its own elsewhere, so it is none here.
    """
    modules = {view.module.file: view.module.source for view in views}
    try:
        found = compared(
            modules,
            entrypoints,
            opa=opa,
            data=data,
            input_schema=scope.input_schema,
            vocabulary=vocabulary(scope, views, data),
            inputs=inputs,
        )
    except PolicyLoadError as error:
        message = f"the planners cannot be compared: {error.message.partition(chr(10))[0]}"
        return [Finding(error.file or "", error.row or 0, 0, "not-compared", message, "see above")]
    if not found.compared:
        message = "the planners cannot be compared: the time was up before the first input"
        return [Finding("", 0, 0, "not-compared", message, "check again, on a machine with time")]
    return [
        Finding(
            each.file or "",
            each.row or 0,
            0,
            "planners-disagree",
            f"for the input {dumps(from_json(each.document))} `{each.entrypoint}` is {each.opa} as"
            f" OPA plans it, and {each.regopy} as regopy does",
            _MEND,
        )
        for each in found.divergences
    ]


def vocabulary(scope: Scope, views: Sequence[View], data: Mapping[str, Any] | None) -> Vocabulary:
    """The strings, numbers and input paths of policies and their data, in a stable order."""
    strings: dict[str, None] = {}
    numbers: dict[int | Decimal, None] = {}
    paths: dict[tuple[str, ...], None] = {}
    for view in views:
        for rule in view.rules:
            for term, env in terms_of_rule(rule):
                if isinstance(term, Scalar):
                    _note(term.value, strings, numbers)
                elif isinstance(term, Ref):
                    path = scope.path(view, term, env) or ()
                    whole = tuple(step for step in path[1:] if step is not None)
                    if path[:1] == ("input",) and whole and len(whole) == len(path) - 1:
                        paths[whole] = None
    pending: list[Any] = [data or {}]
    while pending and len(strings) < _TEXTS:
        value = pending.pop(0)
        if isinstance(value, dict):
            for key, inner in value.items():
                _note(key, strings, numbers)
                pending.append(inner)
        elif isinstance(value, list):
            pending += value
        else:
            _note(value, strings, numbers)
    return Vocabulary(tuple(strings), tuple(numbers), tuple(paths))


def _note(value: object, strings: dict[str, None], numbers: dict[int | Decimal, None]) -> None:
    if isinstance(value, str) and len(value) <= _LONG:
        strings[value] = None
    elif not isinstance(value, int | Decimal) or isinstance(value, bool):
        return
    elif -_LARGE < value < _LARGE:
        numbers[value] = None


__all__ = ["disagreements", "vocabulary"]
