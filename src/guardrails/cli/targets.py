"""What a target on the command line means here: short ids in full, near names for unknown ones."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from guardrails.errors import ConfigError
from guardrails.model.kill import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from guardrails.register import Register
    from guardrails.runs.directory import ListedRun


def scope_of(target: str, listed: Iterable[ListedRun]) -> Scope:
    """The scope that `target` names; the short id of a listed run becomes the whole one.

    Raises:
        ConfigError: it is no target, or several runs begin so.
    """
    try:
        scope = Scope.parse(target)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if scope.kind != "run":
        return scope
    ids = {run.id for run in listed}
    begin = sorted(id for id in ids if id.startswith(scope.name))
    if scope.name in ids or not begin:
        return scope
    if len(begin) > 1:
        raise ConfigError(f"several runs begin with `{scope.name}`: {_listed(begin)}")
    return Scope("run", begin[0])


def doubts(
    scope: Scope,
    runs: Sequence[ListedRun],
    *,
    tools: Sequence[str],
    environment: str | None,
    register: Register | None,
) -> Iterator[str]:
    """What speaks against `scope` being what was meant: nothing here is called so.

    Args:
        scope: The target.
        runs: The open runs.
        tools: The tools that listed runs have called.
        environment: The environment of this machine's configuration.
        register: The agents, where they can be read.
    """
    match scope.kind:
        case "agent":
            yield from _doubts_of_agent(scope.name, register, runs)
        case "tool":
            if scope.name not in tools:
                yield _unknown("tool", scope.name, tools, "was called in a listed run so far")
        case "env":
            environments = {run.environment for run in runs}
            environments |= {environment} if environment is not None else set()
            if scope.name not in environments:
                yield _unknown("environment", scope.name, environments, "is one of this machine")
        case "run":
            if all(scope.name != run.id for run in runs):
                yield f"no open run `{scope.name}` is listed; it is killed in case it is opened"
        case _:
            pass


def _doubts_of_agent(
    name: str, register: Register | None, runs: Sequence[ListedRun]
) -> Iterator[str]:
    agent, _, version = name.partition("@")
    known = {run.agent for run in runs} | set(register.entries if register is not None else ())
    if agent not in known:
        yield _unknown("agent", agent, known, "is in the register or has an open run")
    elif version:
        versions = {run.version for run in runs if run.agent == agent}
        if register is not None and agent in register.entries:
            versions.add(register.entries[agent].version)
        if version not in versions:
            yield _unknown("version", version, versions, f"is one of agent `{agent}`")


def _unknown(what: str, name: str, known: Iterable[str], place: str) -> str:
    names = sorted(known)
    near = get_close_matches(name, names, n=3)
    said = f"did you mean {_listed(near)}?" if near else f"there are {_listed(names) or 'none'}"
    return f"no {what} `{name}` {place}; {said}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:8])
    return shown if len(names) <= 8 else f"{shown}, …"  # noqa: PLR2004  # those that are shown
