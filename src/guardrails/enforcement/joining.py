"""Carrying a run into another process: what its token says, and the run that it opens there.

A token gives what the run has, and nothing more: agent, budget, mode, principal and labels
cannot be asked for. The other process must be governed alike: the same environment, a
register that says the same of every agent concerned, a mode that is permitted there, and
a ledger in which the run is still open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.enforcement.lineage import chain_of
from guardrails.enforcement.opening import facts_of
from guardrails.errors import BreakerTripped, ConfigError, Reason, RunClosed, StateUnavailable
from guardrails.model.budget import Budget
from guardrails.model.canonical import digest
from guardrails.model.facts import AgentFacts, Mode
from guardrails.runs.joined import JoinedRun
from guardrails.runs.run_token import Ancestor, Claims, refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.ports import Enforcer, Register
    from guardrails.runs.breakers import RunBreakers
    from guardrails.runs.run import Run
    from guardrails.runs.run_token import RunTokens

_NS: Final = 1_000_000_000
_LONGEST: Final = 24 * 3600


def token_of(run: Run, tokens: RunTokens | None, expires_in: float) -> str:
    """A token with which other processes can join `run`.

    Raises:
        ConfigError: `expires_in` is no time, up to a day.
        RunClosed: the run has ended.
        RunKilled: it was killed.
        BreakerTripped: a breaker has stopped it.
        StateUnavailable: its account, or the key, is in this process alone.
    """
    if isinstance(expires_in, bool) or not 0 < expires_in <= _LONGEST:
        msg = f"expires_in: seconds up to {_LONGEST} are needed, not {expires_in!r}"
        raise ConfigError(msg)
    chain = chain_of(run)
    for each in chain:
        if each.is_closed:
            raise RunClosed(f"the run `{each.id}` has ended", run_id=run.id, agent=run.agent.id)
        tripped = None if each.breakers is None else each.breakers.tripped
        if tripped is not None:
            raise BreakerTripped(
                f"the run `{each.id}` is stopped: {tripped.text} [{tripped.rule}]",
                breaker=tripped.breaker,
                reasons=(Reason(tripped.rule, tripped.text),),
                run_id=run.id,
                agent=run.agent.id,
            )
    run.check_kill()
    if tokens is None:
        raise StateUnavailable(
            f"the run `{run.id}` cannot be carried into another process: there is no key to sign "
            "its token; name a directory under `state` in guardrails.yaml",
            run_id=run.id,
        )
    nonces = run.governor.ledger.share_run(run.id)
    now = run.governor.clock.now_ns()
    seconds = run.remaining.seconds
    claims = Claims(
        environment=run.agent.environment,
        chain=tuple(
            Ancestor(each.id, each.agent.id, _digest(each.agent), nonce)
            for each, nonce in zip(chain, nonces, strict=True)
        ),
        narrowed_by=tuple((facts.id, _digest(facts)) for facts in run.narrowed_by),
        mode=run.mode.value,
        labels=run.labels,
        principal=run.principal,
        wait=run.wait,
        deadline=None if seconds is None else now + int(seconds * _NS),
        issued=now,
        expires=now + int(expires_in * _NS),
        trace="" if run.telemetry is None else run.telemetry.traceparent(),
    )
    return tokens.sign(claims)


def joined_run(  # noqa: PLR0913  # what it is joined under, each by its name
    claims: Claims,
    *,
    governor: Enforcer,
    register: Register,
    environment: str,
    modes: Iterable[Mode],
    breakers: RunBreakers | None,
) -> JoinedRun:
    """The run that a token names, to be entered here.

    Raises:
        CallDenied: something is not here as it was where the token was made.
    """
    run_id = claims.chain[-1].run
    if claims.mode not in {mode.value for mode in modes}:
        raise refused(f"mode `{claims.mode}` is not permitted here", run_id=run_id)
    narrowed_by = tuple(
        _same(register, environment, agent, facts) for agent, facts in claims.narrowed_by
    )
    run: JoinedRun | None = None
    for each in claims.chain:
        last = each is claims.chain[-1]
        run = JoinedRun(
            id=each.run,
            agent=_same(register, environment, each.agent, each.facts),
            governor=governor,
            # What may be spent stands in the ledger; the time is nobody's but the run's.
            budget=Budget(seconds=_left(claims, governor)) if last else Budget(),
            mode=Mode(claims.mode),
            principal=claims.principal,
            labels=claims.labels if last else (),
            wait=claims.wait,
            parent=run,
            narrowed_by=narrowed_by if last else (),
            breakers=breakers if last else None,
            nonce=each.nonce,
        )
    if run is None:
        raise refused("it names no run")
    return run


def _digest(facts: AgentFacts) -> str:
    return digest([facts.id, facts.version, facts.owner, facts.environment, list(facts.labels)])


def _same(register: Register, environment: str, agent: str, facts: str) -> AgentFacts:
    found = facts_of(register.agent(agent), environment)
    if _digest(found) != facts:
        raise refused(
            f"the register says of agent `{agent}` something else than where the token was made"
        )
    return found


def _left(claims: Claims, governor: Enforcer) -> float | None:
    if claims.deadline is None:
        return None
    return max(0.0, (claims.deadline - governor.clock.now_ns()) / _NS)
