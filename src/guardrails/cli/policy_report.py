"""What ``guardrails policy eval`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.cli.console import notices, output, plain, print_json, print_problem
from guardrails.rego import UNDEFINED
from guardrails.rego.opa_binary import excerpt
from guardrails.rego.values import dumps, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.rego.explain import Mode, Trace

_WIDTH: Final = 78
"""Characters of a line of JSON, so that it fits into a terminal."""


def print_evaluation(
    trace: Trace, explain: Mode | None, sources: Mapping[str, str], *, as_json: bool
) -> None:
    """Print the value that an evaluation gave, after the explanation where one is asked for.

    Args:
        trace: What the evaluation did.
        explain: How much of it is told.
        sources: The Rego sources by file name, for the lines that are shown.
        as_json: Print one JSON object.
    """
    value = trace.results[0]["result"] if trace.results else UNDEFINED
    if as_json:
        print_json(_as_object(trace, value, explain, sources))
        return
    if explain is not None:
        # The last line of it says the result, shortened.
        for line in trace.render(explain, sources).splitlines()[:-1]:
            output().print(plain(line), soft_wrap=True)
    if trace.error is not None:
        error = trace.error
        print_problem(f"{error}{excerpt(sources.get(error.file or '', ''), error.row, None)}")
    elif value is UNDEFINED:
        output().print(plain("undefined"))
        more = "" if explain else "; --explain=fails says which condition failed"
        notices().print(plain(f"note: {trace.entrypoint} has no value for this input{more}"))
    else:
        output().print(plain(indented(to_json(value))), soft_wrap=True)


def indented(value: Any, margin: str = "") -> str:
    """`value` as JSON over several lines, its numbers exact; what is short stays on one line."""
    flat = _flat(value)
    if len(margin) + len(flat) <= _WIDTH or not isinstance(value, dict | list) or not value:
        return flat
    deeper = margin + "  "
    if isinstance(value, dict):
        parts = [f"{dumps(key)}: {indented(item, deeper)}" for key, item in value.items()]
    else:
        parts = [indented(item, deeper) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    body = ",\n".join(deeper + part for part in parts)
    return f"{opening}\n{body}\n{margin}{closing}"


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        members = (f"{dumps(key)}: {_flat(item)}" for key, item in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flat, value))}]"
    return dumps(value)


def _as_object(
    trace: Trace, value: Any, explain: Mode | None, sources: Mapping[str, str]
) -> dict[str, Any]:
    """As OPA's server answers: an undefined result is an object without ``result``."""
    answer: dict[str, Any] = {} if value is UNDEFINED else {"result": to_json(value)}
    if explain is not None:
        answer["explanation"] = trace.render(explain, sources).splitlines()
    if trace.error is not None:
        error = trace.error
        answer["error"] = {
            "code": error.code,
            "message": error.message,
            "file": error.file,
            "row": error.row,
            "line": _line(sources.get(error.file or "", ""), error.row),
        }
    return answer


def _line(source: str, row: int | None) -> str | None:
    rows = source.split("\n")
    return rows[row - 1].strip() if row is not None and 0 < row <= len(rows) else None
