"""Decision cases as a YAML table: which call, and what is to be decided about it.

::

    import: [shop.tools]            # where the governed functions are
    agent: billing                  # what stands here holds for every case that does not say it
    tool: refund
    args: {order_id: A-17, amount: 20}
    cases:
      - {name: a small refund, expect: allow}
      - name: a large one asks
        args: {amount: 4180}        # the other arguments are as above
        expect: require_approval
        because: defaults
        approvers: [finance-ops]
      - {name: too large, args: {amount: 9000}, expect: deny, because: refunds}

Every problem names its line. A table without cases is an error: it would test nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from guardrails.errors import ConfigError
from guardrails.model.budget import Budget
from guardrails.register.source import Mapped, SourceError, nearest, quoted, shown
from guardrails.register.words import (
    AgentId,
    Count,
    Dollars,
    EnvironmentName,
    Keyed,
    Listed,
    Name,
    OneOrMany,
    Quorum,
    Seconds,
    Some,
    Text,
)
from guardrails.register.yaml_source import read_yaml
from guardrails.testing.doubles import nanoseconds_of
from guardrails.testing.expectation import Expectation, rules_of
from guardrails.testing.governed import Governed
from guardrails.testing.named_tools import described, imported
from guardrails.testing.situation import Past, Situation
from guardrails.testing.verdict import EFFECTS, REFUSALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from guardrails.enforcement.definition import Tool
    from guardrails.register.source import KeyPath, Problem, Source
    from guardrails.testing.project import Project
    from guardrails.testing.verdict import Verdict

_EXPECTED: Final = (*EFFECTS, *sorted(REFUSALS))


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _expected(value: object) -> str:
    if not isinstance(value, str) or value not in _EXPECTED:
        hint = nearest(str(value), _EXPECTED)
        msg = f"{shown(value)} is no decision{hint}; there are {quoted(_EXPECTED)}"
        raise ValueError(msg)
    return value


def _name(value: str) -> str:
    if "::" in value:
        msg = "a name without `::`, which separates names for pytest, is needed"
        raise ValueError(msg)
    return value


def _moment(value: str) -> str:
    nanoseconds_of(value)
    return value


_Words = Annotated[Listed[Name], BeforeValidator(_one_or_many), OneOrMany()]
_Agents = Annotated[Listed[AgentId], BeforeValidator(_one_or_many), OneOrMany()]
_Moment = Annotated[Text, AfterValidator(_moment)]


class _Budget(Mapped):
    usd: Dollars | None = None
    tokens: Count | None = None
    calls: Count | None = None
    seconds: Seconds | None = None


class _Spent(Mapped):
    usd: Dollars = Decimal(0)
    tokens: Count = 0


class _Past(Mapped):
    tool: Name
    times: Annotated[int, Field(ge=1, le=10_000)] = 1
    args: dict[str, Any] | None = None


class _Described(Mapped):
    """A tool that is no Python function here, as policy sees it."""

    resource: Name
    operation: Name = "execute"
    labels: Listed[Name] = ()


class _Circumstances(Mapped):
    """What a case may say, and the table for all of its cases that do not."""

    tool: Name | None = None
    args: dict[str, Any] = Field(default={})
    agent: AgentId | None = None
    environment: EnvironmentName | None = None
    principal: Text | None = None
    labels: _Words = ()
    mode: Name | None = None
    budget: _Budget | None = None
    parents: _Agents = ()
    spent: _Spent = _Spent()
    after: Listed[_Past] = ()
    elapsed: Seconds | None = None
    at: _Moment | None = None


class _Case(_Circumstances):
    name: Annotated[Text, AfterValidator(_name)] | None = None
    expect: Annotated[str, BeforeValidator(_expected)]
    because: _Words = ()
    approvers: _Words | None = None
    quorum: Quorum | None = None
    runs_with: dict[str, Any] | None = None


class _Table(_Circumstances):
    imports: _Words = Field(default=(), alias="import")
    tools: Keyed[Name, _Described] = Field(default={}, validate_default=True)
    config: Text | None = None
    cases: Some[_Case]


@dataclass(frozen=True, slots=True)
class Case:
    """One case: a call, and what is to be decided about it.

    Attributes:
        name: Its name, no other's of its table.
        file: The table.
        line: Where it stands, from 1.
        tool: The tool.
        args: The arguments as JSON.
        situation: Whose call it is, in which run.
        environment: Where; None for the configuration's own.
        at: What time it is; None for the clock's own.
        expected: What is to be decided.
    """

    name: str
    file: str
    line: int
    tool: Tool
    args: Mapping[str, Any]
    situation: Situation
    environment: str | None
    at: str | None
    expected: Expectation

    def play(self, project: Project) -> Verdict:
        """What the policies of `project` decide about it; the tool does not run.

        Raises:
            ConfigError: there is no such agent or environment, or the run cannot stand so.
        """
        governed = Governed(project, environment=self.environment, at=self.at)
        try:
            return governed.verdict(self.tool, self.args, self.situation, as_json=True)
        finally:
            governed.close()

    def objection(self, project: Project) -> str | None:
        """Why the policies of `project` decide otherwise than is expected; None where they do not.

        Raises:
            ConfigError: as :meth:`play`.
        """
        return self.expected.objection(self.play(project), rules_of(project.engine))


@dataclass(frozen=True, slots=True)
class Table:
    """A table of cases.

    Attributes:
        file: Where it stands.
        config: The configuration whose policies decide, where it names one.
        cases: Its cases, one at least.
    """

    file: str
    config: Path | None
    cases: tuple[Case, ...]


def read_table(path: Path) -> Table:
    """The table in a file. The modules that it names are imported.

    Raises:
        ConfigError: it cannot be read.
        SourceError: it is no table; every problem is named with its place.
    """
    source = read_yaml(path)
    table = source.validate(_Table)
    problems = list(_problems(table, source))
    config = None if table.config is None else path.absolute().parent / table.config
    if config is not None and not config.is_file():
        problems.append(source.problem(("config",), f"`{config}` is no file"))
    known: dict[str, Tool] = {}
    for index, module in enumerate(table.imports):
        try:
            _join(known, imported(module))
        except ConfigError as error:
            problems.append(source.problem(("import", index), str(error)))
    if problems:
        raise SourceError(problems)
    cases = []
    for index, case in enumerate(table.cases):
        reader = _Reader(table, case, ("cases", index), source, known)
        try:
            cases.append(reader.case())
        except SourceError as error:
            problems += error.problems
    if problems:
        raise SourceError(problems)
    return Table(source.file, config, tuple(cases))


def _join(known: dict[str, Tool], more: Mapping[str, Tool]) -> None:
    for name, tool in more.items():
        there = known.setdefault(name, tool)
        if there.identity != tool.identity:
            msg = f"two tools are called `{name}`: {there} and {tool}"
            raise ConfigError(msg)


def _problems(table: _Table, source: Source) -> Iterator[Problem]:
    """What each part of the table allows, and they together do not."""
    seen: dict[str, int] = {}
    for index, case in enumerate(table.cases):
        path: KeyPath = ("cases", index)
        if case.name is not None:
            first = seen.setdefault(case.name, index)
            if first != index:
                line = source.place(("cases", first)).line
                message = f"`{case.name}` is the name of the case in line {line}, too"
                yield source.problem((*path, "name"), message)
        is_decision = case.expect in EFFECTS
        for key, fits, whom in (
            ("because", is_decision, "decisions"),
            ("approvers", case.expect == "require_approval", "`expect: require_approval`"),
            ("quorum", case.expect == "require_approval", "`expect: require_approval`"),
            ("runs_with", is_decision and case.expect != "deny", "calls that are not denied"),
        ):
            if key in case.model_fields_set and not fits:
                message = f"belongs to {whom}, and this expects `{case.expect}`"
                yield source.problem((*path, key), message, of_key=True)


class _Reader:
    """Reads one case of a table.

    Args:
        table: The table.
        written: The case as it is written.
        path: Where it stands.
        source: The file.
        known: The governed functions that the table imports.
    """

    def __init__(
        self,
        table: _Table,
        written: _Case,
        path: KeyPath,
        source: Source,
        known: Mapping[str, Tool],
    ) -> None:
        self._table = table
        self._written = written
        self._path = path
        self._source = source
        self._known = known

    def case(self) -> Case:
        """The case.

        Raises:
            SourceError: it names no tool, none that is known, or no agent.
        """
        written = self._written
        name: str | None = self._said("tool")
        if name is None:
            raise self._error((), "names no `tool`, and neither does the table")
        agent: str | None = self._said("agent")
        if agent is None:
            raise self._error((), "names no `agent`, and neither does the table")
        # The table's arguments are those of its tool: who names a tool brings all of its own.
        names_tool = "tool" in written.model_fields_set
        args = written.args if names_tool else {**self._table.args, **written.args}
        line = self._source.place(self._path).line
        return Case(
            name=written.name or f"{name}:{line}",
            file=self._source.file,
            line=line,
            tool=self._tool(name, args, ("tool",)),
            args=args,
            situation=self._situation(agent),
            environment=self._said("environment"),
            at=self._said("at"),
            expected=Expectation(
                written.expect,
                written.because,
                None if written.approvers is None else frozenset(written.approvers),
                written.quorum,
                written.runs_with,
            ),
        )

    def _situation(self, agent: str) -> Situation:
        budget: _Budget | None = self._said("budget")
        spent: _Spent = self._said("spent")
        after: tuple[_Past, ...] = self._said("after")
        return Situation(
            agent=agent,
            principal=self._said("principal"),
            labels=self._said("labels"),
            mode=self._said("mode"),
            budget=None if budget is None else Budget(**budget.model_dump()),
            parents=self._said("parents"),
            spent_usd=spent.usd,
            spent_tokens=spent.tokens,
            after=tuple(
                Past(
                    self._tool(each.tool, each.args or {}, ("after", index, "tool")),
                    each.times,
                    each.args,
                )
                for index, each in enumerate(after)
            ),
            elapsed=self._said("elapsed") or 0,
        )

    def _tool(self, name: str, args: Mapping[str, Any], path: KeyPath) -> Tool:
        facts = self._table.tools.get(name)
        known = self._known.get(name)
        if facts is not None and known is None:
            try:
                return described(name, **facts.model_dump(), args=args)
            except ConfigError as error:
                raise self._error(path, str(error)) from error
        if known is None:
            names = [*self._known, *self._table.tools]
            there = f"there are {quoted(sorted(names))}" if names else "there is none"
            raise self._error(
                path,
                f"there is no tool `{name}`{nearest(name, names)}; {there}: `import` names modules"
                " with governed functions, `tools` describes others",
            )
        return known

    def _said(self, key: str) -> Any:
        """What the case says, else what the table says for all."""
        said = self._written if key in self._written.model_fields_set else self._table
        return getattr(said, key)

    def _error(self, path: KeyPath, message: str) -> SourceError:
        whole = (*self._path, *path)
        if path and path[0] not in self._written.model_fields_set:
            whole = path  # the table says it
        return SourceError([self._source.problem(whole, message)])
