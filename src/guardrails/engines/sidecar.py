"""The engine that asks an OPA server beside the agent: keep-alive HTTP, a deadline, a breaker.

Whatever keeps an answer from coming, or makes it doubtful, refuses the call. Only where a
fallback was handed in does that decide instead, and only while no answer can be had; both
changes are logged.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.clock import SystemClock
from guardrails.engines.standby import Standby
from guardrails.errors import EvaluationError, PolicyUnavailable
from guardrails.model.decision import Decision, MalformedDecision
from guardrails.opa.address import Address
from guardrails.opa.exact_json import NotExactJSONError, encode
from guardrails.opa.exchange import Request
from guardrails.opa.outcome import (
    Answered,
    Failed,
    Provenance,
    Trouble,
    Undefined,
    Unreachable,
)
from guardrails.opa.server import ANSWER_LIMIT, Server
from guardrails.opa.trace import findings
from guardrails.opa.version import objection

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from guardrails.errors import Finding
    from guardrails.opa.breaker import BreakerState
    from guardrails.opa.outcome import Outcome
    from guardrails.opa.tls import TLS
    from guardrails.opa.token import Token
    from guardrails.ports import Clock, PolicyEngine

ENTRYPOINT: Final = "guardrails/decision"
"""The rule that decides: ``data.guardrails.decision``."""

UNKNOWN: Final = "unknown"
"""The revision before the first decision."""

UNVERSIONED: Final = "unversioned"
"""The revision of policies that OPA did not load as a bundle: there is nothing to tell them by."""

_log: Final = logging.getLogger("guardrails")
_DECIDE: Final = f"/v1/data/{ENTRYPOINT}?provenance=true&strict-builtin-errors=true"
_EXPLAIN: Final = f"{_DECIDE}&explain=fails&pretty=true"
_EXPLANATION_LIMIT: Final = 16 << 20
_EXPLANATION_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    """Who answered last.

    Attributes:
        provenance: As OPA told it.
        revision: The same as one text.
        objection: Why this OPA may not decide; None if it may.
    """

    provenance: Provenance | None = None
    revision: str = UNKNOWN
    objection: str | None = None


@dataclass(frozen=True, slots=True)
class SidecarStatus:
    """How it stands with an OPA server, as far as this process knows.

    Attributes:
        address: Where it listens.
        is_reachable: Whether it answered the last request; None before the first.
        breaker: The breaker's state.
        opa_version: OPA's version; None before the first answer.
        revision: The revision of the last decision.
        last_error: What the last failure was, without secrets; None if there was none.
        last_error_ns: When it was, in UTC nanoseconds.
        answered: How many requests were answered, also with an error of the evaluation.
        unanswered: How many were not.
        refused: How many of those were not sent, since the breaker was open.
        retried: How many were sent twice, since a kept connection had been closed.
        on_unavailable: What decides while there is no answer: ``refuse`` or ``in_process``.
        is_falling_back: Whether the fallback made the last decision.
        fallback_decisions: How many it made.
    """

    address: str
    is_reachable: bool | None
    breaker: BreakerState
    opa_version: str | None
    revision: str
    last_error: str | None
    last_error_ns: int | None
    answered: int
    unanswered: int
    refused: int
    retried: int
    on_unavailable: str
    is_falling_back: bool
    fallback_decisions: int


class SidecarEngine:
    """Decides by asking an OPA server.

    Threads, event loops and forked processes may share it. Making one does not connect.

    Args:
        address: ``http://host:port``, ``https://host:port`` or ``unix:///path``.
        deadline: Seconds that a decision may take, from looking the host up to the answer.
        token: The bearer token that OPA is shown, where it wants one.
        tls: For ``https://``: whom to trust and the client's certificate; None for the
            system's certificates.
        fallback: Who decides while OPA cannot be reached; None to refuse.
        clock: For the breaker and the time of failures. Deadlines are the machine's own.
        answer_limit: The most bytes that an answer may have.
        failures: How many failures in a row open the breaker.
        pause: How many seconds it stays open before one call probes.

    Raises:
        ConfigError: the address is none, or these do not go together.
    """

    def __init__(  # noqa: PLR0913  # each is one setting, all but one by name
        self,
        address: str | Address,
        *,
        deadline: float = 0.25,
        token: Token | None = None,
        tls: TLS | None = None,
        fallback: PolicyEngine | None = None,
        clock: Clock | None = None,
        answer_limit: int = ANSWER_LIMIT,
        failures: int = 5,
        pause: float = 1.0,
    ) -> None:
        place = Address.parse(address) if isinstance(address, str) else address
        clock = clock or SystemClock()
        self._server = Server(
            place,
            clock=clock,
            deadline=deadline,
            token=token,
            tls=tls,
            limit=answer_limit,
            failures=failures,
            pause=pause,
        )
        # Explanations are long and nobody's call waits for them.
        self._explainer = Server(
            place,
            clock=clock,
            deadline=max(deadline, _EXPLANATION_SECONDS),
            token=token,
            tls=tls,
            limit=_EXPLANATION_LIMIT,
        )
        self._decide = Request(place, _DECIDE)
        self._explain = Request(place, _EXPLAIN)
        self._standby = Standby(fallback, f"OPA at {place}")
        self._known = _Known()
        if not (place.is_secure or place.is_local):
            _log.warning(
                "decisions of %s come in the clear: whoever is on the way can forge them", place
            )

    @property
    def revision(self) -> str:
        """The policy revision of the last decision: ``name@revision`` of each bundle."""
        fallback = self._standby.deciding
        return self._known.revision if fallback is None else fallback.revision

    def decide(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The decision about one input document.

        Raises:
            PolicyUnavailable: there is no answer of an OPA that may decide, and no fallback.
            EvaluationError: the evaluation failed, or the document has no exact JSON text.
            MalformedDecision: the result is undefined or no decision.
        """
        outcome = self._server.ask(self._decide, _body(document))
        try:
            return self._decision(outcome, decision_id)
        except PolicyUnavailable as error:
            fallback = self._standby.instead(error)
        return fallback.decide(document, decision_id)

    async def decide_async(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The same; it does not hold up the event loop."""
        outcome = await self._server.ask_async(self._decide, _body(document))
        try:
            return self._decision(outcome, decision_id)
        except PolicyUnavailable as error:
            fallback = self._standby.instead(error)
        return await fallback.decide_async(document, decision_id)

    def explain(
        self, document: Mapping[str, Any], rules: Collection[str] = ()
    ) -> Sequence[Finding]:
        """Which conditions were not met, with file:row; nothing where OPA does not tell.

        The shipped ``system.authz`` tells it only to the bearer of an administration token. It
        is asked when a refusal is shown, which may be anywhere: inside an event loop, which
        must not wait, the answer is nothing.

        Args:
            document: The input document.
            rules: Ids of the rule packages to tell of; none for all of them.
        """
        fallback = self._standby.deciding
        if fallback is not None:
            return fallback.explain(document, rules)
        if _is_in_event_loop():
            return ()
        try:
            outcome = self._explainer.ask(self._explain, encode({"input": document}))
        except NotExactJSONError:
            return ()
        return findings(outcome.explanation, rules) if isinstance(outcome, Answered) else ()

    def probe(self) -> SidecarStatus:
        """The status after one request about an empty document: is OPA there, and which?"""
        outcome = self._server.ask(self._decide, encode({"input": {}}))
        if isinstance(outcome, Answered | Undefined):
            self._remember(outcome.provenance)
        return self.status()

    def status(self) -> SidecarStatus:
        """How it stands, without asking OPA."""
        tally = self._server.tally
        last = tally.last_trouble
        known = self._known
        trouble = None if last is None else f"{last.trouble}: {last.detail}"
        return SidecarStatus(
            address=str(self._server.address),
            is_reachable=tally.is_reachable,
            breaker=self._server.breaker,
            opa_version=None if known.provenance is None else known.provenance.version,
            revision=self.revision,
            last_error=known.objection or trouble,
            last_error_ns=tally.last_trouble_ns,
            answered=tally.answered,
            unanswered=tally.unanswered,
            refused=tally.refused,
            retried=tally.retried,
            on_unavailable="refuse" if self._standby.engine is None else "in_process",
            is_falling_back=self._standby.deciding is not None,
            fallback_decisions=self._standby.decisions,
        )

    def close(self) -> None:
        """Close the connections that wait; the next decision opens a new one."""
        self._server.close()
        self._explainer.close()

    def _decision(self, outcome: Outcome, decision_id: str) -> Decision:
        if isinstance(outcome, Answered):
            revision = self._accepted(outcome.provenance, decision_id)
            return Decision.from_document(outcome.value, revision=revision, decision_id=decision_id)
        if isinstance(outcome, Undefined):
            self._accepted(outcome.provenance, decision_id)
            msg = f"`{ENTRYPOINT}` is undefined"
            raise MalformedDecision(msg)
        if isinstance(outcome, Failed):
            self._standby.returned()
            raise EvaluationError(outcome.code, outcome.message, file=outcome.file, row=outcome.row)
        raise self._unavailable(outcome, decision_id)

    def _accepted(self, provenance: Provenance, decision_id: str) -> str:
        """The revision, from an OPA that may decide."""
        known = self._known
        if provenance != known.provenance:
            known = self._remember(provenance)
        if known.objection is not None:
            raise self._unavailable(Unreachable(Trouble.VERSION, known.objection), decision_id)
        self._standby.returned()
        return known.revision

    def _remember(self, provenance: Provenance) -> _Known:
        known = self._known = _Known(
            provenance, _revision(provenance), objection(provenance.version)
        )
        return known

    def _unavailable(self, outcome: Unreachable, decision_id: str) -> PolicyUnavailable:
        return PolicyUnavailable(
            f"OPA at {self._server.address} gave no decision: {outcome.trouble} ({outcome.detail})",
            decision_id=decision_id,
            hint="`guardrails doctor` says how it stands with OPA",
        )


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _body(document: Mapping[str, Any]) -> bytes:
    try:
        return encode({"input": document})
    except NotExactJSONError as error:
        code = "input_error"
        raise EvaluationError(code, str(error)) from None


def _revision(provenance: Provenance) -> str:
    """One text for the revisions of all bundles: ``name@revision``, in the order of the names."""
    if not provenance.bundles:
        return UNVERSIONED
    return ",".join(f"{name}@{revision or '?'}" for name, revision in provenance.bundles)
