"""The engine that answers in the process and has a share of its answers checked by another.

A sample of the decisions is asked of the other engine, the OPA server, off the call's path. Where
the two differ, who is right is for people to find out; by that revision of the policies the other
one decides from then on, also when it comes back after another one: security runs it, and the
differing engine is the one that is not OPA.

A call pays for the sample of which it is: its document is copied. It never waits.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from guardrails.engines.agreement import are_comparable, differences
from guardrails.engines.backlog import Backlog
from guardrails.engines.made_documents import decide_made_of
from guardrails.engines.plain_numbers import plainly_numbered
from guardrails.engines.sampling import Sampler
from guardrails.errors import EvaluationError, PolicyUnavailable
from guardrails.forks import begin_anew
from guardrails.model.canonical import NotExactJSON
from guardrails.model.decision import Decision, Effect, MalformedDecision

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from guardrails.engines.agreement import Answer
    from guardrails.engines.made_documents import Vouchable
    from guardrails.errors import Finding
    from guardrails.ports import PolicyEngine

QUEUE: Final = 256
"""Samples that may wait for the other engine; more are dropped and counted."""

REMEMBERED: Final = 1_000
"""Revisions that diverged and are remembered; the one that did so longest ago is forgotten."""

_log: Final = logging.getLogger("guardrails")


@dataclass(frozen=True, slots=True)
class Divergence:
    """One document about which the two engines do not agree.

    Attributes:
        document: The input, as it was when it was decided.
        decision_id: The call's id in the record.
        ours: What this process answered, and the call went by.
        theirs: What the other engine answers.
        differs: What they differ in, as ``effect``.
        revision: The revision in this process.
    """

    document: Mapping[str, Any]
    decision_id: str
    ours: Answer
    theirs: Answer
    differs: tuple[str, ...]
    revision: str


@dataclass(frozen=True, slots=True)
class VerifiedStatus:
    """What checking has come to in this process.

    Attributes:
        share: The share of decisions that is checked.
        refusals: Whether refusals are checked, too.
        sampled: Decisions that were taken for a check.
        agreed: Checked, and the same.
        diverged: Checked, and not the same.
        opa_numbers: Checked, and OPA contradicted itself over how a number was written.
        not_comparable: The two engines had different revisions.
        unreachable: The other engine gave no answer.
        dropped: The queue was full.
        last_pair: The revisions, this process's and the other's, that could not be compared last.
        moved: The revision over which a divergence moved decisions to the other engine; None
            while this process decides.
        suspected: The revisions over which the engines diverged, the latest last. By any of them
            the other engine decides; after 1,000 the oldest is forgotten.
    """

    share: float
    refusals: bool
    sampled: int = 0
    agreed: int = 0
    diverged: int = 0
    opa_numbers: int = 0
    not_comparable: int = 0
    unreachable: int = 0
    dropped: int = 0
    last_pair: tuple[str, str] | None = None
    moved: str | None = None
    suspected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sample:
    document: dict[str, Any]
    decision_id: str
    ours: Answer
    revision: str


class VerifiedEngine:
    """Decides in this process, and checks a share of the decisions with another engine.

    Threads, event loops and forked processes may share it; each process checks for itself.

    Args:
        inner: Decides.
        other: Checks, and decides after a divergence. It is asked on a thread of this engine's.
        share: The share of decisions that is checked, from 0 to 1.
        refusals: Whether denials and errors are checked, too. What is allowed, asked about or
            shadowed always is: the danger is a call that OPA would have denied.
        report: Told of each divergence, on the same thread.
        queue: How many samples may wait.

    Raises:
        ValueError: `share` is no share.
    """

    def __init__(  # noqa: PLR0913  # each is one setting, all but two by name
        self,
        inner: PolicyEngine,
        other: PolicyEngine,
        *,
        share: float = 0.01,
        refusals: bool = False,
        report: Callable[[Divergence], None] | None = None,
        queue: int = QUEUE,
    ) -> None:
        self.inner = inner
        self.other = other
        self._decide_made = decide_made_of(inner)
        self._sampler = Sampler(share)
        self._refusals = refusals
        self._report = report
        # Replaced, never changed, so that it is read without the lock.
        self._suspected: dict[str, None] = {}
        self._moved: str | None = None
        self._backlog: Backlog[_Sample] = Backlog(
            self._check, size=queue, name="guardrails-verified"
        )
        self._begin()
        begin_anew(self._begin)

    def _begin(self) -> None:
        # A child of a fork keeps what was found about the policies, and counts for itself.
        self._lock = threading.Lock()
        self._status = VerifiedStatus(self._sampler.share, self._refusals)

    @property
    def revision(self) -> str:
        """The policy revision of the engine that decides now."""
        return self._decider().revision

    def decide(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The decision about one input document; errors are those of the engine that decides."""
        if self._suspected and self._decider() is self.other:
            return self.other.decide(document, decision_id)
        return self._decided(document, decision_id)

    def decide_made(
        self, document: Mapping[str, Any], constants: Vouchable, decision_id: str
    ) -> Decision | None:
        """The same, of a document that enforcement has made; None where OPA decides now."""
        if self._decide_made is None or (self._suspected and self._decider() is self.other):
            return None
        try:
            decision = self._decide_made(self.inner, document, constants, decision_id)
        except (EvaluationError, MalformedDecision) as error:
            self._sample_error(document, decision_id, error)
            raise
        if decision is not None:
            self._sample(document, decision_id, decision)
        return decision

    async def decide_async(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The same; it does not hold up the event loop."""
        if self._suspected and self._decider() is self.other:
            return await self.other.decide_async(document, decision_id)
        return self._decided(document, decision_id)

    def explain(
        self, document: Mapping[str, Any], rules: Collection[str] = ()
    ) -> Sequence[Finding]:
        """What the engine that decides now says of these rules."""
        return self._decider().explain(document, rules)

    def status(self) -> VerifiedStatus:
        """What checking has come to so far."""
        self._decider()
        with self._lock:
            return replace(
                self._status,
                dropped=self._backlog.dropped,
                moved=self._moved,
                suspected=tuple(self._suspected),
            )

    def waiting(self) -> int:
        """How many samples wait for the other engine."""
        return len(self._backlog)

    def drain(self, seconds: float = 5.0) -> bool:
        """Wait until every sample is checked; whether that was reached in time."""
        return self._backlog.drain(seconds)

    def close(self) -> None:
        """Check no more. Decisions are still made."""
        self._backlog.close()

    def _decider(self) -> PolicyEngine:
        if not self._suspected:
            return self.inner
        revision = self.inner.revision
        moved = revision if revision in self._suspected else None
        if moved != self._moved:
            self._move(moved, revision)
        return self.inner if moved is None else self.other

    def _move(self, moved: str | None, revision: str) -> None:
        with self._lock:
            is_new, self._moved = self._moved != moved, moved
        if is_new:
            _log.warning(
                "policies changed to revision %s: decisions are made %s",
                revision,
                "in this process again"
                if moved is None
                else "by OPA again, since the two engines diverged over it before",
            )

    def _decided(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        try:
            decision = self.inner.decide(document, decision_id)
        except (EvaluationError, MalformedDecision) as error:
            self._sample_error(document, decision_id, error)
            raise
        self._sample(document, decision_id, decision)
        return decision

    def _sample(self, document: Mapping[str, Any], decision_id: str, ours: Decision) -> None:
        if (ours.effect is not Effect.DENY or self._refusals) and self._sampler.take():
            self._put(document, decision_id, ours, ours.revision)

    def _sample_error(
        self,
        document: Mapping[str, Any],
        decision_id: str,
        ours: EvaluationError | MalformedDecision,
    ) -> None:
        if self._refusals and self._sampler.take():
            # The traceback would keep the frames of the call alive.
            self._put(document, decision_id, ours.with_traceback(None), self.inner.revision)

    def _put(
        self, document: Mapping[str, Any], decision_id: str, ours: Answer, revision: str
    ) -> None:
        self._count("sampled")
        # The tool may change its arguments later, and they are in the document.
        self._backlog.put(_Sample(copied(document), decision_id, ours, revision))

    def _check(self, sample: _Sample) -> None:
        theirs = self._asked(sample.document, sample)
        if theirs is None:
            return
        found = differences(sample.ours, theirs)
        if not found:
            self._count("agreed")
        elif self._is_about_numbers(sample):
            self._count("opa_numbers")
            _log.warning(
                "OPA decides %s otherwise once its numbers are written plainly; that is OPA's"
                " defect (docs/rego.md), and no divergence",
                sample.decision_id,
            )
        else:
            self._diverged(sample, theirs, found)

    def _asked(self, document: Mapping[str, Any], sample: _Sample) -> Answer | None:
        """What the other engine answers; None where that cannot be held against ours."""
        theirs: Answer
        try:
            theirs = self.other.decide(document, sample.decision_id)
        except (EvaluationError, MalformedDecision) as error:
            theirs = error
        except PolicyUnavailable:
            self._count("unreachable")
            return None
        revision = theirs.revision if isinstance(theirs, Decision) else self.other.revision
        # Policies that have changed since may have changed there, too, without a revision.
        is_current = self.inner.revision == sample.revision
        if not is_current or not are_comparable(sample.revision, revision):
            self._not_comparable(sample.revision, revision)
            return None
        return theirs

    def _is_about_numbers(self, sample: _Sample) -> bool:
        try:
            plain = plainly_numbered(sample.document)
        except NotExactJSON:
            return False
        theirs = self._asked(plain, sample)
        return theirs is not None and not differences(sample.ours, theirs)

    def _diverged(self, sample: _Sample, theirs: Answer, found: tuple[str, ...]) -> None:
        # First of all: whatever is said about it, this process decides no more.
        with self._lock:
            others = [each for each in self._suspected if each != sample.revision]
            self._suspected = dict.fromkeys([*others[1 - REMEMBERED :], sample.revision])
            self._moved = sample.revision
        self._count("diverged")
        _log.error(
            "divergence: this process and OPA do not agree about %s (%s), by revision %s; by that"
            " revision OPA decides from now on",
            sample.decision_id,
            ", ".join(found),
            sample.revision,
        )
        if self._report is not None:
            self._report(
                Divergence(
                    sample.document,
                    sample.decision_id,
                    named(sample.ours, sample.decision_id),
                    theirs,
                    found,
                    sample.revision,
                )
            )

    def _not_comparable(self, ours: str, theirs: str) -> None:
        self._count("not_comparable")
        with self._lock:
            is_new = self._status.last_pair != (ours, theirs)
            self._status = replace(self._status, last_pair=(ours, theirs))
        if is_new:
            _log.warning(
                "decisions are not checked while this process has revision %s and OPA %s",
                ours,
                theirs,
            )

    def _count(self, name: str) -> None:
        with self._lock:
            self._status = replace(self._status, **{name: getattr(self._status, name) + 1})


def named(ours: Answer, decision_id: str) -> Answer:
    """The answer, which bears its id if it is a decision."""
    return replace(ours, decision_id=decision_id) if isinstance(ours, Decision) else ours


def copied(value: Any) -> Any:
    """A JSON value that shares nothing that could be changed."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


__all__ = [
    "QUEUE",
    "REMEMBERED",
    "Divergence",
    "VerifiedEngine",
    "VerifiedStatus",
    "copied",
    "named",
]
