"""A configuration's candidate, riding along: asked, recorded where it differs, never enforced."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from guardrails.candidates import candidate_of
from guardrails.divergences import divergence_event
from guardrails.engines.beside import CandidateEngine
from guardrails.errors import GuardrailsError
from guardrails.model.call import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails import ports
    from guardrails.config import Config
    from guardrails.engines.beside import Agreement
    from guardrails.engines.verified import Divergence

DIFFERS: Final = "candidate.decided"
"""The kind of the event of a call that the candidate decides otherwise."""

ENDED: Final = "candidate.ended"
"""The kind of the event with the counts of a process."""

_log: Final = logging.getLogger("guardrails")


def with_candidate(  # noqa: PLR0913  # each is one service, all but three by name
    engine: ports.PolicyEngine,
    config: Config,
    data: Mapping[str, Any],
    *,
    record: ports.Record,
    clock: ports.Clock,
    closing: Callable[[Callable[[], None]], object],
) -> ports.PolicyEngine:
    """`engine` with the candidate of `config` beside it; `engine` where there is none to ask.

    One that cannot be used is logged as an error; calls are decided without it.

    Args:
        engine: What decides.
        config: The configuration.
        data: What the program itself gives policies.
        record: Where it is written what the candidate decides otherwise, and the counts.
        clock: The time.
        closing: Is given what asks the candidate no more.
    """
    wanted = config.candidate
    if wanted is None:
        return engine

    def differs(found: Divergence, counts: Agreement) -> None:
        event = divergence_event(found, clock.now_ns())
        detail = {**(event.detail or {}), "agreement": asdict(counts)}
        record.write(event._replace(kind=DIFFERS, detail=detail))

    def ended(counts: Agreement) -> None:
        try:
            record.write(Event(ENDED, clock.now_ns(), detail=asdict(counts)))
        except GuardrailsError:
            _log.exception("the candidate's counts could not be recorded: %s", counts)

    try:
        candidate = candidate_of(wanted.policy, config, data=data).engine()
    except GuardrailsError as error:
        _log.error("the candidate `%s` is not tried: %s", wanted.policy, error)  # it says where
        return engine
    _log.info("the candidate `%s` is tried: revision %s", wanted.policy, candidate.revision)
    tried = CandidateEngine(engine, candidate, share=wanted.share, report=differs, end=ended)
    closing(tried.close)
    return tried


__all__ = ["DIFFERS", "ENDED", "with_candidate"]
