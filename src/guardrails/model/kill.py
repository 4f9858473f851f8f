"""What can be killed, and what a kill says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

KINDS: Final = ("all", "env", "agent", "run", "tool")


class Scope(NamedTuple):
    """A target of a kill: its kind, and which of that kind.

    As text: ``all``, ``env/prod``, ``agent/billing``, ``agent/billing@3`` (one
    version), ``run/ID`` (with its children), ``tool/NAME``.
    """

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}" if self.name else self.kind

    @classmethod
    def parse(cls, text: str) -> Scope:
        """The scope that `text` names.

        Raises:
            ValueError: it names none.
        """
        kind, slash, name = text.partition("/")
        if kind not in KINDS or bool(slash) is (kind == "all") or bool(name) is (kind == "all"):
            msg = (
                f"`{text}` is no target; one of `all`, `env/NAME`, `agent/ID`, `agent/ID@VERSION`, "
                "`run/ID`, `tool/NAME` is needed"
            )
            raise ValueError(msg)
        return cls(kind, name)

    def covers(self, subject: Subject) -> bool:
        """Whether a kill of this scope stops `subject`."""
        match self.kind:
            case "all":
                return True
            case "env":
                return self.name == subject.environment
            case "agent":
                return self.name in (subject.agent, f"{subject.agent}@{subject.version}")
            case "run":
                return self.name in subject.run_ids
            case _:
                return self.name == subject.tool


class Subject(NamedTuple):
    """What a kill is matched against: a call, or a run between calls.

    Attributes:
        run_ids: The run and its ancestors, outermost first.
        agent: The agent's id.
        version: The agent's version.
        environment: Where it runs.
        tool: The tool called or at work; None between calls.
    """

    run_ids: tuple[str, ...]
    agent: str
    version: str
    environment: str
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill in force.

    Attributes:
        scope: What was killed.
        reason: Why.
        by: Who did it.
        generation: The kill switch's number with it.
    """

    scope: Scope
    reason: str
    by: str
    generation: int


class Reach(NamedTuple):
    """What a kill met at work in a process.

    Attributes:
        cancelled: Async calls that were cancelled.
        woken: Calls that waited for an approval, which is withdrawn.
        at_work: Plain functions that cannot be stopped; their results are discarded.
    """

    cancelled: int = 0
    woken: int = 0
    at_work: int = 0
