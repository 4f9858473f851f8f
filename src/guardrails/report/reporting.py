"""The record, read once from the beginning to the end, and summed up by agent and version.

The streams of several processes are read side by side, batch by batch in the order of time. Within
a batch's time an answer may come before its question; they find each other in either order.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

import msgspec

from guardrails.audit.chain import MARK
from guardrails.audit.reading import batches
from guardrails.errors import StateUnavailable
from guardrails.replay.parts import files_of
from guardrails.report.sums import AgentSums, Day

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_OPEN: Final = 100_000
"""Runs, and requests, that are followed at a time; beyond it the oldest are forgotten."""

_MOST: Final = 10_000
"""Agents and versions that are told apart."""

_STEP: Final = 1 << 20
"""Bytes after which one tells how far one is."""

_NS: Final = 1_000_000_000


class _Rule(msgspec.Struct):
    rule: str


class _Event(msgspec.Struct):
    kind: str
    time: int = 0
    run_id: str | None = None
    agent: str | None = None
    effect: str | None = None
    reasons: list[_Rule] = []
    detail: Any = None


class Report:
    """Sums by agent and version, fed with the lines of a record about in their order.

    Args:
        since: UTC nanoseconds from which on events count; what came before only says which
            version a run is of.

    Attributes:
        events: Events that count.
        torn: Lines that are no event.
    """

    def __init__(self, since: int = 0) -> None:
        self.since = since
        self.events = 0
        self.torn = 0
        self._sums: dict[tuple[str, str], AgentSums] = {}
        self._versions: dict[str, str] = {}
        self._asked: dict[str, int] = {}
        self._answers: dict[str, int] = {}
        self._decoder = msgspec.json.Decoder(_Event, float_hook=Decimal)

    @property
    def agents(self) -> list[AgentSums]:
        """The sums, by agent and version."""
        return [sums for _, sums in sorted(self._sums.items())]

    def read(self, line: bytes) -> None:
        """Count one line."""
        try:
            event = self._decoder.decode(line)
        except (ValueError, RecursionError, ArithmeticError):
            self.torn += 1
            return
        detail = event.detail if type(event.detail) is dict else {}
        if event.kind == "run.opened" and event.run_id is not None:
            _keep(self._versions, event.run_id, str(detail.get("version", "?")))
        counts = event.time >= self.since
        self.events += counts
        count = _COUNTS.get(event.kind)
        if count is not None and event.agent is not None:
            version = self._versions.get(event.run_id or "", "?")
            if counts:
                count(self._of(event.agent, version), event, detail)
            if event.kind.startswith("approval."):
                self._waited(event, detail, version, counts=counts)

    def _of(self, agent: str, version: str) -> AgentSums:
        key = (agent, version)
        if key not in self._sums and len(self._sums) >= _MOST:
            key = ("(others)", "?")
        return self._sums.setdefault(key, AgentSums(*key))

    def _waited(self, event: _Event, detail: dict[str, Any], version: str, *, counts: bool) -> None:
        request = str(detail.get("request_id"))
        if event.kind == "approval.requested":
            asked, answered = event.time, self._answers.pop(request, None)
            if answered is None:
                _keep(self._asked, request, asked)
                return
            counts = answered >= self.since
        elif detail.get("state") in _FINAL:
            answered = event.time
            if request not in self._asked:
                if request not in self._answers:
                    _keep(self._answers, request, answered)
                return
            asked = self._asked.pop(request)
        else:
            return
        if counts:
            sums = self._of(event.agent or "", version)
            sums.waited += Decimal(max(0, answered - asked)) / _NS
            sums.answered += 1


_FINAL: Final = frozenset({"approved", "rejected"})


def report(
    log: Path, *, since: int = 0, progress: Callable[[int, int], None] | None = None
) -> Report:
    """The sums of a record.

    Args:
        log: A file of JSON lines, or a directory of segments.
        since: UTC nanoseconds from which on events count.
        progress: Told how many bytes are done, and of how many.

    Raises:
        ConfigError: there is no record at `log`.
        StateUnavailable: it cannot be read.
    """
    found = Report(since)
    files = files_of(log)
    try:
        whole = sum(file.stat().st_size for file in files)
    except OSError as error:
        msg = f"the record `{log}` cannot be read: {error.strerror or type(error).__name__}"
        raise StateUnavailable(msg) from error
    done = told = 0
    for lines in batches(log):
        for line in lines:
            done += len(line)
            if line != b"\n" and not line.startswith(MARK):
                found.read(line)
        if progress is not None and done >= told + _STEP:
            progress(done, whole)
            told = done
    if progress is not None:
        progress(whole, whole)
    return found


def _keep(known: dict[str, Any], key: str, value: Any) -> None:
    known.pop(key, None)
    known[key] = value
    if len(known) > _OPEN:
        del known[next(iter(known))]


def _opened(sums: AgentSums, _: _Event, detail: dict[str, Any]) -> None:
    sums.runs += 1
    sums.owner = str(detail.get("owner") or sums.owner)


def _closed(sums: AgentSums, _: _Event, detail: dict[str, Any]) -> None:
    sums.ended += 1
    spent = detail.get("spent")
    if type(spent) is dict:
        sums.usd += _number(spent.get("usd"))
        sums.tokens += int(_number(spent.get("tokens")))


def _started(sums: AgentSums, event: _Event, _: dict[str, Any]) -> None:
    sums.calls += 1
    sums.days.note(event.time, Day.RAN)


def _finished(sums: AgentSums, _: _Event, detail: dict[str, Any]) -> None:
    sums.errors += detail.get("outcome") == "error"


def _refused(sums: AgentSums, event: _Event, detail: dict[str, Any]) -> None:
    sums.refused += 1
    sums.days.note(event.time, Day.REFUSED)
    sums.codes.of(str(detail.get("code"))).times += 1
    for rule in {each.rule for each in event.reasons}:
        sums.rules.of(rule).times += 1


def _shadowed(sums: AgentSums, event: _Event, detail: dict[str, Any]) -> None:
    sums.shadowed += 1
    sums.days.note(event.time, Day.SHADOWED)
    sums.would_run += detail.get("would") == "allow"


def _requested(sums: AgentSums, _: _Event, __: dict[str, Any]) -> None:
    sums.asked += 1


def _answered(sums: AgentSums, event: _Event, detail: dict[str, Any]) -> None:
    state = detail.get("state")
    step = event.kind.removeprefix("approval.")
    # Each request once: by the step that ends it, whoever else had answered before.
    sums.approved += state == "approved" and step != "requested"
    sums.rejected += state == "rejected"
    sums.expired += state == "expired"


def _breaker(sums: AgentSums, _: _Event, __: dict[str, Any]) -> None:
    sums.loops += 1


def _differed(sums: AgentSums, _: _Event, __: dict[str, Any]) -> None:
    sums.differed += 1


def _outcome(sums: AgentSums, _: _Event, detail: dict[str, Any]) -> None:
    sums.outcomes.of(str(detail.get("outcome"))).times += 1


def _feedback(sums: AgentSums, _: _Event, detail: dict[str, Any]) -> None:
    sums.feedback += 1
    if "score" in detail:
        sums.scored += 1
        sums.score += _number(detail["score"])


def _number(value: Any) -> Decimal:
    """A number that a record holds; 0 for what is none, and for what nobody spends."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)
    # Without arithmetic, which has a range of its own.
    return number if number.is_finite() and number.copy_abs() < _LARGEST else Decimal(0)


_LARGEST: Final = Decimal(10) ** 18

_COUNTS: Final[Mapping[str, Callable[[AgentSums, _Event, dict[str, Any]], None]]] = {
    "run.opened": _opened,
    "run.closed": _closed,
    "run.outcome": _outcome,
    "run.feedback": _feedback,
    "call.started": _started,
    "call.finished": _finished,
    "call.refused": _refused,
    "call.shadowed": _shadowed,
    "approval.requested": _requested,
    "approval.approved": _answered,
    "approval.rejected": _answered,
    "approval.expired": _answered,
    "breaker": _breaker,
    "candidate.decided": _differed,
}


__all__ = ["Report", "report"]
