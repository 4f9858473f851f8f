"""What ``guardrails policy check`` and ``policy eval`` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.cli.console import notices, output, plain, print_json, print_problem
from guardrails.rego import UNDEFINED
from guardrails.rego.opa_binary import excerpt
from guardrails.rego.values import dumps, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.rego.explain import Mode, Trace
    from guardrails.rego.lint import Finding

_WIDTH: Final = 78
"""Characters of a line of JSON, so that it fits into a terminal."""

_NO_MEND: Final = "see the message"
"""What a finding says whose message holds the mend."""


def print_findings(
    found: Sequence[Finding], sources: Mapping[str, str], *, asked_opa: bool
) -> None:
    """Print every finding with its place, its line and its mend; then the verdict."""
    screen = output()
    # A terminal gets whole words; a file or a pipe gets whole lines.
    whole = not screen.is_terminal
    for finding in found:
        place = ":".join(str(part) for part in (finding.file, finding.row, finding.col) if part)
        message = finding.message.partition("\n")[0]
        source = sources.get(finding.file, "")
        shown = excerpt(source, finding.row or None, finding.col or None)
        head = plain(f"{place}: ", "bold") if place else plain("")
        screen.print(head + plain(f"{message} [{finding.rule_id}]{shown}"), soft_wrap=whole)
        if finding.mend != _NO_MEND:
            screen.print(plain("  mend:", "green"), plain(finding.mend), soft_wrap=whole)
    by = "opa check --strict agrees" if asked_opa else "no OPA binary was asked"
    files = "1 file" if len(sources) == 1 else f"{len(sources)} files"
    if found:
        screen.print(plain(f"{len(found)} to mend in {files}", "bold red"))
    else:
        screen.print(plain(f"{files}, nothing to mend", "green"), plain(f"({by})"))


def print_evaluation(trace: Trace, explain: Mode | None, *, as_json: bool) -> None:
    """Print the value that an evaluation gave, after the explanation where one is asked for."""
    value = trace.results[0]["result"] if trace.results else UNDEFINED
    if as_json:
        print_json(_as_object(trace, value, explain))
        return
    if explain is not None:
        # The last line of it says the result, shortened.
        for line in trace.render(explain).splitlines()[:-1]:
            output().print(plain(line), soft_wrap=True)
    if trace.error is not None:
        print_problem(trace.error)
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


def _as_object(trace: Trace, value: Any, explain: Mode | None) -> dict[str, Any]:
    """As OPA's server answers: an undefined result is an object without ``result``."""
    answer: dict[str, Any] = {} if value is UNDEFINED else {"result": to_json(value)}
    if explain is not None:
        answer["explanation"] = trace.render(explain).splitlines()
    if trace.error is not None:
        error = trace.error
        answer["error"] = {
            "code": error.code,
            "message": error.message,
            "file": error.file,
            "row": error.row,
        }
    return answer
