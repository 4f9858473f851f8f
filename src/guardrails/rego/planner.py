"""Rego sources to a plan: OPA's intermediate representation, as a dictionary.

Two planners give the same decisions: ``regopy`` (rego-cpp; in the Python index,
always in a child process, see :mod:`~guardrails.rego.planner_process`) and
``opa`` (the reference, where the binary is there). What a planner refuses, and
every crash, time-out and unreadable answer, is a
:class:`~guardrails.errors.PolicyLoadError` that names file, row and column.

regopy accepts much that OPA refuses; what is planned here must still pass
:mod:`guardrails.rego.analysis`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from guardrails.errors import PolicyLoadError
from guardrails.rego.opa_binary import build_plan, excerpt, find_opa, rename_files
from guardrails.rego.planner_process import MEMORY, TIMEOUT, PlannerCrash, PlannerProcess
from guardrails.rego.planner_traps import traps
from guardrails.rego.syntax import Module, parse_tree, place_of, row_starts
from guardrails.rego.with_lifting import lift, restore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guardrails.rego.with_lifting import Lift

PlannerName = Literal["regopy", "opa"]

_ENTRYPOINT: Final = re.compile(r"[^/\s\x00]+(?:/[^/\s\x00]+)*")
_FIRST_WORD: Final = re.compile(r"(?:\s|#[^\n]*(?:\n|\Z))*(\w*)")
_LIFTED: Final = re.compile(r"\b(?:with|every)\b")
_PHANTOM: Final = "Unable to unify due to cycle"
_NESTING: Final = 4
_LOGGED: Final = re.compile(r"^m(\d+)\.rego:(\d+):(\d+): (.+?):?$", re.MULTILINE)
_HINTS: Final = {
    "Invalid rule head": "if the rule has `every`, or more than one `with`, give its body"
    " braces over several lines",
    "syntax error": "if it is sound Rego, as `x if not y with …`, give the body braces",
    "this is unclosed": "a bracket or brace is not closed",
}


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """One thing to plan.

    Args:
        modules: The sources by file name.
        entrypoints: As ``guardrails/decision``.
        query: A query to plan, as ``data.a.x == 1``; the planner names its plan.
        data: Base data that the planner may look at; what is planned serves other data too only if
            this is None.
    """

    modules: Mapping[str, str]
    entrypoints: tuple[str, ...] = ()
    query: str | None = None
    data: object = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a planner made.

    Attributes:
        document: The content of ``plan.json``.
        planner: ``regopy`` or ``opa``.
    """

    document: dict[str, Any]
    planner: PlannerName


def plan_modules(
    modules: Mapping[str, str],
    entrypoints: Sequence[str],
    *,
    planner: PlannerName = "regopy",
    opa: str | None = None,
    timeout: float = TIMEOUT,
) -> Plan:
    """The plan of `modules` for `entrypoints`.

    Args:
        modules: The sources by file name; names are used in messages only, never as paths.
        entrypoints: Rules or packages, as ``guardrails/decision``.
        planner: ``regopy`` in a child process, or the ``opa`` binary.
        opa: The binary's path; None looks for it (:func:`find_opa`).
        timeout: Seconds that the planner may take.

    Raises:
        PolicyLoadError: The policy is refused, or the planner is missing or failed.
    """
    if planner == "opa":
        return _plan_by_opa(modules, entrypoints, opa, timeout)
    if planner != "regopy":
        msg = f"unknown planner `{planner}`; available: `regopy`, `opa`"
        raise PolicyLoadError(msg)
    (answer,) = plan_many([PlanRequest(modules, tuple(entrypoints))], timeout=timeout)
    if isinstance(answer, PolicyLoadError):
        raise answer
    return answer


def plan_many(
    requests: Iterable[PlanRequest], *, timeout: float = TIMEOUT, memory: int = MEMORY
) -> list[Plan | PolicyLoadError]:
    """One answer for each request, in order, from one child process with regopy.

    A request that takes the child down costs only itself: the next one gets a new child.

    Args:
        requests: What to plan; each on its own.
        timeout: Seconds that each request may take.
        memory: The cap on the child's address space, in bytes.

    Raises:
        PolicyLoadError: regopy is not installed or cannot be started.
    """
    with PlannerProcess(timeout=timeout, memory=memory) as process:
        return [_ask_plan(process, request) for request in requests]


def parse_modules(
    modules: Mapping[str, str], *, timeout: float = TIMEOUT
) -> tuple[dict[str, Module], list[PolicyLoadError]]:
    """The syntax trees of the modules that parse, by file name, and the errors of the others.

    Raises:
        PolicyLoadError: regopy is not installed or cannot be started.
    """
    parsed: dict[str, Module] = {}
    errors: list[PolicyLoadError] = []
    with PlannerProcess(timeout=timeout) as process:
        for name, text in modules.items():
            source = _clean(text)
            try:
                _check_source(name, source)
                parsed[name] = _ask_tree(process, name, source)
            except PolicyLoadError as error:
                errors.append(error)
    return parsed, errors


def known_builtins(names: Iterable[str], *, timeout: float = TIMEOUT) -> frozenset[str]:
    """Those of `names` that regopy knows as builtins."""
    with PlannerProcess(timeout=timeout) as process:
        try:
            _, body = process.ask({"work": "builtins", "names": sorted(names)})
            return frozenset(json.loads(body))
        except (PlannerCrash, ValueError) as error:
            msg = f"the planner regopy failed: {error}"
            raise PolicyLoadError(msg) from error


def _plan_by_opa(
    modules: Mapping[str, str], entrypoints: Sequence[str], opa: str | None, timeout: float
) -> Plan:
    binary = find_opa(opa)
    if binary is None:
        msg = (
            "the planner `opa` is chosen and there is no OPA binary; set `opa`, the variable `OPA`,"
            " or put it at `.tools/opa` or on `PATH`"
        )
        raise PolicyLoadError(msg)
    cleaned = {name: _clean(text) for name, text in modules.items()}
    for name, text in cleaned.items():
        _check_source(name, text)
    _check_entrypoints(entrypoints)
    return Plan(build_plan(binary, cleaned, entrypoints, timeout=timeout), "opa")


def _ask_plan(process: PlannerProcess, request: PlanRequest) -> Plan | PolicyLoadError:
    names = list(request.modules)
    sources = [_clean(text) for text in request.modules.values()]
    try:
        for name, source in zip(names, sources, strict=True):
            _check_source(name, source)
        if request.query is None:
            _check_entrypoints(request.entrypoints)
        lifted, lifts = _lifted(process, names, sources)
        try:
            return _planned(process, request, names, lifted, lifts)
        except _LiftError as error:
            # What replaces a rule is left to regopy, which can do it where little is reached.
            answer = _planned(process, request, names, sources, [])
            return answer if isinstance(answer, Plan) else error.cause
    except PlannerCrash as crash:
        return _crash_error(crash, process, dict(zip(names, sources, strict=True)))
    except PolicyLoadError as error:
        return error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return PolicyLoadError(f"the planner regopy gave a plan that cannot be read: {error!r}")


class _LiftError(Exception):
    """A lifted ``with`` cannot be put back; carries what to tell if regopy cannot do it either."""

    def __init__(self, cause: PolicyLoadError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _lifted(
    process: PlannerProcess, names: Sequence[str], sources: Sequence[str]
) -> tuple[list[str], list[Lift]]:
    """The sources with their ``with`` lifted; those that do not parse stay, to be refused."""
    texts: list[str] = []
    lifts: list[Lift] = []
    for number, source in enumerate(sources):
        text = source
        for nesting in range(_NESTING if _LIFTED.search(source) else 0):
            try:
                text, found = lift(_ask_tree(process, names[number], text), f"{number}_{nesting}")
            except PolicyLoadError:
                break
            lifts += found
            if not found:
                break
        texts.append(text)
    return texts, lifts


def _planned(
    process: PlannerProcess,
    request: PlanRequest,
    names: Sequence[str],
    sources: Sequence[str],
    lifts: Sequence[Lift],
) -> Plan | PolicyLoadError:
    # Names are numbers: regopy copies each module to a file of its name.
    modules = [(f"m{number}.rego", source) for number, source in enumerate(sources)]
    asked = {
        "work": "plan",
        "entrypoints": list(request.entrypoints),
        "query": request.query,
        "data": None if request.data is None else json.dumps(request.data),
    }
    header, body = _ask_in_turn(process, asked, modules)
    if "failed" in header:
        return _refusal(header, names, sources)
    document = json.loads(body)
    if not isinstance(document, dict):
        return PolicyLoadError("the planner regopy gave a plan that is no object")
    _settle(document, request.entrypoints, names)
    try:
        restore(document, lifts)
    except PolicyLoadError as error:
        raise _LiftError(error) from error
    return Plan(document, "regopy")


def _ask_in_turn(
    process: PlannerProcess, asked: dict[str, Any], modules: list[tuple[str, str]]
) -> tuple[dict[str, Any], bytes]:
    """The answer for the modules in their order, or, if regopy stumbles, in another one.

    regopy 1.5.2 reads memory that it has freed. Over some modules in some orders it crashes,
    or reports a cycle that is not there; the order means nothing to Rego.
    """
    half = len(modules) // 2
    orders = [modules, modules[::-1], modules[half:] + modules[:half]]
    for order in orders[:-1] if len(modules) > 1 else ():
        try:
            header, body = process.ask({**asked, "modules": dict(order)})
        except PlannerCrash as crash:
            if not crash.aborted:
                raise
            continue
        if _PHANTOM not in header.get("failed", "") + header.get("log", ""):
            return header, body
    return process.ask({**asked, "modules": dict(orders[-1])})


def _ask_tree(process: PlannerProcess, name: str, source: str) -> Module:
    try:
        _, body = process.ask({"work": "trees", "modules": {"m0.rego": source}})
        answer = json.loads(body)["m0.rego"]
        if "error" in answer:
            raise _refusal({"failed": answer["error"], "log": ""}, [name], [source])
        tree, tokens = (
            parse_tree(answer[part].encode("utf-8", "surrogateescape"))
            for part in ("tree", "tokens")
        )
    except PlannerCrash as crash:
        raise _crash_error(crash, None, {name: source}) from crash
    except (ValueError, KeyError, RecursionError) as error:
        msg = f"the planner's syntax tree cannot be read: {error}"
        raise PolicyLoadError(msg, file=name) from error
    return Module(name, source, tree, tokens)


def _clean(text: str) -> str:
    """The source without a byte order mark, which OPA skips and regopy takes for a name."""
    return text.removeprefix("\ufeff")


def _check_source(name: str, source: str) -> None:
    """Refuses what regopy would cut short or pass over in silence."""
    at = source.find("\x00")
    if at >= 0:
        row = source.count("\n", 0, at) + 1
        msg = "a NUL character; everything after it would be lost"
        raise PolicyLoadError(msg, file=name, row=row, col=at - source.rfind("\n", 0, at))
    try:
        source.encode()
    except UnicodeEncodeError as error:
        row = source.count("\n", 0, error.start) + 1
        msg = "a lone surrogate, which is no character"
        raise PolicyLoadError(msg, file=name, row=row) from error
    first = _FIRST_WORD.match(source)
    if first is None or first.group(1) != "package":
        at = first.start(1) if first is not None else 0
        row, col = source.count("\n", 0, at) + 1, at - source.rfind("\n", 0, at)
        msg = f"a module begins with `package`{excerpt(source, row, col)}"
        raise PolicyLoadError(msg, file=name, row=row, col=col)


def _check_entrypoints(entrypoints: Sequence[str]) -> None:
    if not entrypoints:
        msg = "no entry point; give at least one, as `guardrails/decision`"
        raise PolicyLoadError(msg)
    for entrypoint in entrypoints:
        if not _ENTRYPOINT.fullmatch(entrypoint):
            msg = f"`{entrypoint}` is no entry point; write it as `guardrails/decision`"
            raise PolicyLoadError(msg)


def _settle(document: dict[str, Any], entrypoints: Sequence[str], names: Sequence[str]) -> None:
    """Refuses entry points that no rule is under, and names the files as the caller does.

    OPA refuses such an entry point; regopy plans a look-up in the data instead.
    """
    rename_files(document, names)
    functions = document.get("funcs", {}).get("funcs") or []
    paths = [tuple(function["path"][1:]) for function in functions]
    for entrypoint in entrypoints:
        parts = tuple(entrypoint.split("/"))
        if not any(path[: len(parts)] == parts for path in paths):
            available = sorted({"/".join(path) for path in paths})[:8]
            listed = ", ".join(f"`{path}`" for path in available) or "nothing"
            msg = (
                f"the entry point `{entrypoint}` names no rule and no package; available: {listed}"
            )
            raise PolicyLoadError(msg)


def _refusal(
    header: dict[str, Any], names: Sequence[str], sources: Sequence[str]
) -> PolicyLoadError:
    """What regopy said, as an error at its place."""
    found = _spoken(header["failed"], sources) or _logged(header.get("log", ""))
    if found is None:
        text = " ".join((header["failed"] or header.get("log", "")).split())[:300]
        return PolicyLoadError(
            f"the planner regopy refuses the policy: {text or 'it gave no reason'}"
        )
    number, row, col, message = found
    if not 0 <= number < len(names):
        return PolicyLoadError(message)
    hint = next((f"; {hint}" for start, hint in _HINTS.items() if message.startswith(start)), "")
    text = message[:1].lower() + message[1:]
    shown = excerpt(sources[number], row, col)
    return PolicyLoadError(f"{text}{hint}{shown}", file=names[number], row=row, col=col)


def _spoken(text: str, sources: Sequence[str]) -> tuple[int, int, int, str] | None:
    """Number of the module, row, column and message from the tree of errors that regopy raises."""
    try:
        tree = parse_tree(text.encode())
    except ValueError:
        return None
    for error in tree.find("error"):
        message = error.child("errormsg")
        module = re.fullmatch(r"m(\d+)\.rego", error.source or "")
        if message is None or not message.text:
            continue
        if module is None or error.start is None or int(module.group(1)) >= len(sources):
            return -1, 0, 0, message.text
        number = int(module.group(1))
        source = sources[number].encode()
        return number, *place_of(source, row_starts(source), error.start), message.text
    return None


def _logged(log: str) -> tuple[int, int, int, str] | None:
    """The same from its log, where some errors are written and not raised."""
    found = _LOGGED.search(log)
    if found is None:
        return None
    return int(found.group(1)), int(found.group(2)), int(found.group(3)), found.group(4)


def _crash_error(
    crash: PlannerCrash, process: PlannerProcess | None, sources: Mapping[str, str]
) -> PolicyLoadError:
    """A crash as an error, at the place of the first construct that is known to cause one."""
    lines = [line.strip() for line in crash.log.splitlines() if line.strip()]
    said = f" (`{lines[-1][:160]}`)" if lines else ""
    message = f"the planner regopy {crash.message}{said}"
    for name, source in sources.items() if crash.aborted else ():
        if process is None:
            break
        try:
            trap = next(traps(_ask_tree(process, name, source)), None)
        except PolicyLoadError:
            continue
        if trap is not None:
            shown = excerpt(source, trap.row, trap.col)
            text = f"{message}; probably over this: {trap.message}{shown}"
            return PolicyLoadError(text, file=trap.file, row=trap.row, col=trap.col)
    return PolicyLoadError(message, file=next(iter(sources)) if len(sources) == 1 else None)


__all__ = [
    "Plan",
    "PlanRequest",
    "PlannerName",
    "find_opa",
    "known_builtins",
    "parse_modules",
    "plan_many",
    "plan_modules",
]
