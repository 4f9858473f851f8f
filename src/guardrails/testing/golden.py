"""Golden decisions: a file of what is decided about some calls, and what has become of it.

A file is text that people review: a block a call, with the decision and the rules behind it, and
without what changes by itself, as ids, times and the wording of reasons. Nothing here writes it
unless it is told to.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guardrails.errors import ConfigError
from guardrails.model.canonical import NotExactJSON
from guardrails.register.source import read_text
from guardrails.testing.shown import exact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.testing.verdict import Verdict

_TITLE: Final = (
    "# What is decided. Written by `pytest --guardrails-update`; review each change of it.\n"
)
_CALL: Final = "- call: "


def text_of(verdicts: Iterable[Verdict] | Mapping[str, Verdict]) -> str:
    """The file of these verdicts.

    Args:
        verdicts: They; by names of their own where one call stands among them in several
            situations.

    Raises:
        ConfigError: there are none, one call stands in it twice, or has no JSON form.
    """
    blocks: dict[str, str] = {}
    named = (
        verdicts.items() if isinstance(verdicts, Mapping) else ((None, each) for each in verdicts)
    )
    for name, verdict in named:
        call = _call(verdict, name)
        if call in blocks:
            msg = (
                f"the same call stands in the golden decisions twice: {call}; give them as a"
                " mapping of names to verdicts"
            )
            raise ConfigError(msg)
        blocks[call] = "".join(f"  {line}\n" for line in _decision(verdict))
    if not blocks:
        msg = "golden decisions of no calls would hold whatever policy says; give some"
        raise ConfigError(msg)
    return _TITLE + "".join(f"{_CALL}{call}\n{block}" for call, block in blocks.items())


def read(path: Path) -> str | None:
    """The text of a golden file; None where there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    return read_text(path).replace("\r\n", "\n") if os.path.lexists(path) else None


def write(path: Path, text: str) -> None:
    """Put `text` into the file, whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        fresh = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            fresh.chmod(0o644)
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or type(error).__name__}"
        raise ConfigError(msg) from error


def difference(golden: str, now: str) -> str | None:
    """What is decided otherwise than the golden file says, call by call; None where nothing is."""
    if golden == now:
        return None
    before, after = _blocks(golden), _blocks(now)
    lines: list[str] = []
    for call in dict.fromkeys((*before, *after)):
        was, (_, becomes) = before.get(call), after.get(call, (0, None))
        if was is None:
            lines += [f"a new call: {call}", *(f"  + {line}" for line in becomes or ())]
        elif becomes is None:
            lines += [f"a call that is decided no more (line {was[0]}): {call}"]
            lines += [f"  - {line}" for line in was[1]]
        elif was[1] != becomes:
            lines.append(f"decided otherwise (line {was[0]}): {call}")
            lines += [f"  - {line}" for line in was[1] if line not in becomes]
            lines += [f"  + {line}" for line in becomes if line not in was[1]]
    if not lines:
        return "the calls stand in another order, or somebody has written into the file by hand"
    return "\n".join(lines)


def _call(verdict: Verdict, name: str | None) -> str:
    said: dict[str, object] = {} if name is None else {"name": name}
    said |= {
        "tool": verdict.tool,
        "agent": verdict.agent,
        "environment": verdict.environment,
    }
    if verdict.principal is not None:
        said["principal"] = verdict.principal
    if verdict.labels:
        said["labels"] = list(verdict.labels)
    said["args"] = dict(verdict.args)
    try:
        return "{" + ", ".join(f"{name}: {exact(value)}" for name, value in said.items()) + "}"
    except NotExactJSON as error:
        msg = f"the arguments of `{verdict.tool}` have no JSON form: {error}"
        raise ConfigError(msg) from error


def _decision(verdict: Verdict) -> Iterable[str]:
    yield f"decision: {verdict.says}"
    if verdict.would is not None:
        yield f"would: {verdict.would}"
    if verdict.rules:
        yield f"rules: {exact(sorted(verdict.rules))}"
    for each in verdict.approvals:
        who = f"quorum: {each.quorum}, of: {exact(list(each.approvers))}"
        yield f"{exact(f'approval by {each.rule}')}: {{{who}, seconds: {each.expires_in}}}"
    if verdict.runs_with != verdict.args:
        yield f"runs_with: {exact(dict(verdict.runs_with))}"


def _blocks(text: str) -> Mapping[str, tuple[int, tuple[str, ...]]]:
    """The decision about each call, with the line in which the call stands."""
    found: dict[str, tuple[int, tuple[str, ...]]] = {}
    call = ""
    for row, line in enumerate(text.splitlines(), 1):
        if line.startswith(_CALL):
            call = line.removeprefix(_CALL)
            found[call] = (row, ())
        elif call:
            place, lines = found[call]
            found[call] = (place, (*lines, line.strip()))
    return found
