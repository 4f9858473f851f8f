"""The run of a call and its ancestors, from what they are to what is stored, and back."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Protocol

from guardrails.errors import ConfigError
from guardrails.model.budget import Budget
from guardrails.model.facts import Mode
from guardrails.model.lineage import RunTerms
from guardrails.model.money import dollars
from guardrails.runs.context import Frame, current_run, enter, leave
from guardrails.runs.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guardrails.model.approval import ApprovalRequest
    from guardrails.runs.directory import RunDirectory
    from guardrails.runs.run import Run
    from guardrails.runs.scope import RunScope

_NS: Final = 1_000_000_000


class _Opens(Protocol):
    def run(  # noqa: PLR0913  # the governor's
        self,
        agent: str,
        *,
        budget: Budget | None = None,
        principal: str | None = None,
        labels: Any = None,
        mode: str | None = None,
        id: str | None = None,
        wait: float | None = None,
    ) -> RunScope:
        """A run, to be entered."""
        ...


def lineage_of(run: Run) -> tuple[RunTerms, ...]:
    """What it takes to open `run` again elsewhere, its ancestors first."""
    return tuple(map(_terms, chain_of(run)))


def chain_of(run: Run) -> list[Run]:
    """The run and its ancestors, outermost first."""
    chain = [run]
    while chain[0].parent is not None:
        chain.insert(0, chain[0].parent)
    return chain


@contextmanager
def reopened(
    governor: _Opens,
    request: ApprovalRequest,
    here: Mapping[str, Run],
    directory: RunDirectory | None,
) -> Iterator[None]:
    """A context in which the run of the request's call is the current one, in its ancestors.

    Those that are at work in this process are entered as they are, others are opened again.

    Args:
        governor: Opens runs.
        request: The request; whoever has answered it has signed its lineage, too.
        here: The runs of this process, by id.
        directory: Says whether a run was never left and its process is gone: then its account
            goes on with what it had spent. Else a new one begins, with what was left of the old.

    Raises:
        ConfigError: it cannot be, as where a living process has the run open.
    """
    lineage = request.lineage
    last = lineage[-1] if lineage else None
    if last is None or (last.id, last.agent) != (request.run_id, request.agent):
        msg = f"`{request.id}` does not say in which run its call is to be made"
        raise ConfigError(msg)
    current = current_run()
    if current is not None and current.id == request.run_id and not current.is_closed:
        yield
        return
    if current is not None:
        msg = f"the run `{current.id}` is open here; leave it before a call of another is resumed"
        raise ConfigError(msg)
    with ExitStack() as stack:
        for index, terms in enumerate(lineage):
            lost = directory is not None and directory.is_lost(terms.id)
            run = here.get(terms.id)
            if run is not None and run.state is RunState.OPEN:
                stack.callback(leave, enter(Frame(run)))
                continue
            run = stack.enter_context(
                governor.run(
                    terms.agent,
                    budget=_budget(terms, continues=lost),
                    principal=None if index else request.principal,  # a child inherits it
                    labels=terms.labels,
                    # Only shadow and observe are asked for: a run enforces by itself.
                    mode=None if terms.mode == Mode.ENFORCE.value else terms.mode,
                    id=terms.id,
                )
            )
            if run.mode.value != terms.mode:
                msg = f"the run `{terms.id}` was in mode `{terms.mode}`, which it cannot have here"
                raise ConfigError(msg)
        yield


def _terms(run: Run) -> RunTerms:
    budget, spent = run.budget, run.spent
    seconds = None if budget.seconds is None else int(budget.seconds * _NS)
    limits = {
        "usd": budget.micro_usd,
        "tokens": budget.tokens,
        "calls": budget.calls,
        "seconds": seconds,
    }
    used = {
        "usd": spent.micro_usd,
        "tokens": spent.tokens,
        "calls": spent.calls,
        "seconds": int(run.elapsed() * _NS),
    }
    given = {name: limit for name, limit in limits.items() if limit is not None}
    return RunTerms(
        run.id,
        run.agent.id,
        run.mode.value,
        run.labels,
        given,
        {name: max(0, limit - used[name]) for name, limit in given.items()},
    )


def _budget(terms: RunTerms, *, continues: bool) -> Budget:
    amounts = terms.limits if continues else terms.left
    usd = amounts.get("usd")
    seconds = terms.left.get("seconds")
    return Budget(
        usd=None if usd is None else dollars(usd),
        tokens=amounts.get("tokens"),
        calls=amounts.get("calls"),
        seconds=None if seconds is None else float(Decimal(seconds) / _NS),
    )
