"""An engine with a candidate beside it: policies that are asked, too, and decide nothing.

The candidate is asked on a thread of its own, after the call was decided. What it says, however
long it takes and however it fails changes no call. Where the queue is full, what comes is dropped
and counted: this is for people to learn from, no part of deciding.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from guardrails.engines.agreement import differences
from guardrails.engines.backlog import Backlog
from guardrails.engines.made_documents import decide_made_of
from guardrails.engines.sampling import Sampler
from guardrails.engines.verified import Divergence, copied, named
from guardrails.errors import EvaluationError
from guardrails.forks import begin_anew
from guardrails.model.decision import Decision, MalformedDecision

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from guardrails.engines.agreement import Answer
    from guardrails.engines.made_documents import Vouchable
    from guardrails.errors import Finding
    from guardrails.ports import PolicyEngine

QUEUE: Final = 1024
"""Calls that may wait for the candidate; more are dropped and counted."""

_log: Final = logging.getLogger("guardrails")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often a candidate says the same, in this process.

    Attributes:
        tried: Decisions about which it was asked.
        agreed: It says the same.
        differed: It says something else.
        failed: It could not be asked at all.
        dropped: The queue was full.
    """

    tried: int = 0
    agreed: int = 0
    differed: int = 0
    failed: int = 0
    dropped: int = 0


class CandidateEngine:
    """Decides as `inner` does, and asks a candidate about the same documents, off the call's path.

    Threads, event loops and forked processes may share it; each process asks for itself.

    Args:
        inner: Decides.
        candidate: Is asked.
        share: The share of decisions about which it is asked, from 0 to 1.
        report: Told of each that the candidate decides otherwise, with the counts so far, on the
            candidate's thread; its revision stands in the answer of the candidate, ``theirs``.
        end: Told the counts by :meth:`close`.
        queue: How many may wait.

    Raises:
        ValueError: `share` is no share.
    """

    def __init__(  # noqa: PLR0913  # each is one setting, all but two by name
        self,
        inner: PolicyEngine,
        candidate: PolicyEngine,
        *,
        share: float = 1.0,
        report: Callable[[Divergence, Agreement], None] | None = None,
        end: Callable[[Agreement], None] | None = None,
        queue: int = QUEUE,
    ) -> None:
        self.inner = inner
        self.candidate = candidate
        self._decide_made = decide_made_of(inner)
        self._sampler = Sampler(share)
        self._report = report
        self._end = end
        self._backlog: Backlog[tuple[dict[str, Any], str, Answer]] = Backlog(
            self._try, size=queue, name="guardrails-candidate"
        )
        self._begin()
        begin_anew(self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._agreement = Agreement()

    @property
    def revision(self) -> str:
        """The policy revision that decides; never the candidate's."""
        return self.inner.revision

    def decide(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The decision of the inner engine; errors are its own, too."""
        try:
            decision = self.inner.decide(document, decision_id)
        except (EvaluationError, MalformedDecision) as error:
            # The traceback would keep the frames of the call alive.
            self._put(document, decision_id, error.with_traceback(None))
            raise
        self._put(document, decision_id, decision)
        return decision

    def decide_made(
        self, document: Mapping[str, Any], constants: Vouchable, decision_id: str
    ) -> Decision | None:
        """The same, of a document that enforcement has made; None where the inner engine waits."""
        if self._decide_made is None:
            return None
        try:
            decision = self._decide_made(self.inner, document, constants, decision_id)
        except (EvaluationError, MalformedDecision) as error:
            self._put(document, decision_id, error.with_traceback(None))
            raise
        if decision is not None:
            self._put(document, decision_id, decision)
        return decision

    async def decide_async(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The same; it does not hold up the event loop."""
        try:
            decision = await self.inner.decide_async(document, decision_id)
        except (EvaluationError, MalformedDecision) as error:
            self._put(document, decision_id, error.with_traceback(None))
            raise
        self._put(document, decision_id, decision)
        return decision

    def explain(
        self, document: Mapping[str, Any], rules: Collection[str] = ()
    ) -> Sequence[Finding]:
        """What the inner engine says of these rules."""
        return self.inner.explain(document, rules)

    def agreement(self) -> Agreement:
        """How often the candidate says the same, so far."""
        with self._lock:
            return replace(self._agreement, dropped=self._backlog.dropped)

    def drain(self, seconds: float = 5.0) -> bool:
        """Wait until nothing waits for the candidate; whether that was reached in time."""
        return self._backlog.drain(seconds)

    def close(self) -> None:
        """Ask no more, and tell the counts. Decisions are still made."""
        self._backlog.drain(1.0)
        self._backlog.close()
        if self._end is not None:
            self._end(self.agreement())

    def _put(self, document: Mapping[str, Any], decision_id: str, ours: Answer) -> None:
        try:
            if self._sampler.take():
                # The tool may change its arguments later, and they are in the document.
                self._backlog.put((copied(dict(document)), decision_id, ours))
        except Exception:  # noqa: BLE001  # whatever fails here, the call was decided
            _log.exception("the candidate could not be asked about %s", decision_id)

    def _try(self, asked: tuple[dict[str, Any], str, Answer]) -> None:
        document, decision_id, ours = asked
        theirs: Answer
        try:
            theirs = self.candidate.decide(document, decision_id)
        except (EvaluationError, MalformedDecision) as error:
            theirs = error
        except Exception:
            self._count("failed")
            raise
        differs = differences(ours, theirs)
        counts = self._count("differed" if differs else "agreed")
        if differs and self._report is not None:
            self._report(
                Divergence(
                    document,
                    decision_id,
                    named(ours, decision_id),
                    theirs,
                    differs,
                    self.candidate.revision,
                ),
                counts,
            )

    def _count(self, name: str) -> Agreement:
        with self._lock:
            found = self._agreement
            self._agreement = replace(
                found, tried=found.tried + 1, **{name: getattr(found, name) + 1}
            )
            return replace(self._agreement, dropped=self._backlog.dropped)


__all__ = ["QUEUE", "Agreement", "CandidateEngine"]
