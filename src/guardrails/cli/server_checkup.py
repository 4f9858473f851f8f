"""The examinations of ``guardrails doctor`` that are about who answers, and over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from guardrails.assembly import approvers_of
from guardrails.cli.finding import Finding, Status
from guardrails.cli.policy_sources import nearby
from guardrails.errors import ConfigError
from guardrails.register import Register

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.config import Config
    from guardrails.config.approvers import ApproversFile
    from guardrails.config.server import ServerConfig

_SOON: Final = timedelta(days=14)


def answer_findings(config: Config) -> Iterator[Finding]:
    """Every finding about who may answer requests, and about ``server:``; nothing is started."""
    try:
        file = approvers_of(config)
    except ConfigError as error:
        for line in str(error).splitlines():
            yield Finding("approvers", Status.FAIL, line, "correct it")
        return
    asked = _asked(config)
    if file is None:
        found = "none: nobody can answer from outside of the program that asks"
        if asked:
            mend = f"guardrails approvals enroll YOU --group {asked[0]}; approvers: approvers.yaml"
            found += f", and agents.yaml asks {', '.join(asked)}"
            yield Finding("approvers", Status.WARN, found, mend)
        else:
            yield Finding("approvers", Status.OK, found)
    else:
        approvers = file.current()
        groups = sorted({group for each in approvers.people.values() for group in each.groups})
        people = len(approvers.people)
        found = f"{nearby(file.path)}: {people} {'person' if people == 1 else 'people'}"
        yield Finding("approvers", Status.OK, f"{found}, for {', '.join(groups) or 'no group'}")
        for group in asked:
            if group not in groups:
                found = f"nobody is in `{group}`, which agents.yaml asks"
                yield Finding("approvers", Status.WARN, found, "put somebody in, or correct it")
    if config.server is not None:
        yield from _server(config.server, file)


def _asked(config: Config) -> list[str]:
    """The groups that the register asks; none where it cannot be read, which is told elsewhere."""
    try:
        entries = Register.load(config.agents).entries.values()
    except ConfigError:
        return []
    needs = [need for entry in entries for need in entry.approval.values()]
    return sorted({group for need in needs for group in need.approvers or ()})


def _server(server: ServerConfig, file: ApproversFile | None) -> Iterator[Finding]:
    try:
        # What it runs on, too: all of it is an extra.
        from guardrails.server import listening, standing  # noqa: F401, PLC0415  # as said
    except ModuleNotFoundError as error:
        mend = "pip install 'guardrails-opa[server]'"
        yield Finding("server", Status.FAIL, f"`{error.name}` is not installed", mend)
        return
    problems = []
    ends = None
    try:
        standing.check_reach(server)
    except ConfigError as error:
        problems.append(str(error))
    try:
        standing.trusted(file, server)
    except ConfigError as error:
        problems.append(str(error))
    try:
        ends = standing.certificate_ends(server)
    except ConfigError as error:
        problems.append(str(error))
    for problem in problems:
        yield Finding("server", Status.FAIL, problem, "see docs/approvals.md, Over HTTP")
    if problems or file is None:
        return
    if ends is not None and ends - datetime.now(UTC) < _SOON:
        over = ends < datetime.now(UTC)
        found = f"its certificate {'ended' if over else 'ends'} on {ends:%Y-%m-%d}"
        yield Finding("server", Status.FAIL if over else Status.WARN, found, "renew it")
    known = sum(bool(each.tokens) for each in file.current().people.values())
    who = [f"{known} with tokens"] if known else []
    who += [f"tokens of {server.jwt.issuer}"] if server.jwt is not None else []
    where = f"http{'s' if server.certificate else ''}://{server.host}:{server.port}"
    groups = ", ".join(sorted(file.current().servers[server.name].groups))
    said = f"{where}, signs as `{server.name}` for {groups}; knows {' and '.join(who)}"
    yield Finding("server", Status.OK, said)
