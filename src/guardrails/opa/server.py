"""An OPA server that can be asked: its address, who asks, its connections and its breaker.

Threads, event loops and forks may share one. A fork's child begins anew, with no connection, a
closed breaker and no lock that a thread of its parent's held.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.errors import ConfigError
from guardrails.opa.breaker import Breaker, BreakerState
from guardrails.opa.conversation import converse, lead, lead_async
from guardrails.opa.outcome import NoAnswer, Trouble, Unreachable, outcome_of
from guardrails.opa.pool import Pool
from guardrails.opa.tls import TLS, Contexts
from guardrails.opa.token import Token, TokenNotThereError

if TYPE_CHECKING:
    import ssl

    from guardrails.opa.address import Address
    from guardrails.opa.breaker import Permit
    from guardrails.opa.connection import Steps
    from guardrails.opa.exchange import Reply, Request
    from guardrails.opa.outcome import Outcome
    from guardrails.ports import Clock

ANSWER_LIMIT: Final = 1 << 20
"""The most bytes that an answer may have."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What asking came to so far, in this process.

    Attributes:
        answered: How many requests OPA answered, be it with an error of the evaluation.
        unanswered: How many it did not answer.
        refused: How many of those were not sent, since the breaker was open.
        retried: How many requests were sent a second time.
        last_trouble: The last failure to get an answer.
        last_trouble_ns: When that was, in UTC nanoseconds.
        is_reachable: Whether the last request that was sent was answered; None before the first.
    """

    answered: int = 0
    unanswered: int = 0
    refused: int = 0
    retried: int = 0
    last_trouble: Unreachable | None = None
    last_trouble_ns: int | None = None
    is_reachable: bool | None = None


class _Process:
    """What belongs to one process."""

    __slots__ = (
        "answered", "breaker", "is_reachable", "last", "lock", "pid", "pool", "refused", "retried",
        "unanswered",
    )  # fmt: skip

    def __init__(self, clock: Clock, failures: int, pause: float) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.pool = Pool(clock)
        self.breaker = Breaker(clock, failures=failures, pause=pause)
        self.answered = self.unanswered = self.refused = self.retried = 0
        self.last: tuple[Unreachable | None, int | None] = (None, None)
        self.is_reachable: bool | None = None


class Server:
    """An OPA server.

    Args:
        address: Where it listens.
        clock: For the breaker, the age of connections, and the time of a failure.
        deadline: Seconds that one request may take, all in all.
        token: The bearer token that it is shown.
        tls: How to speak TLS; None for the system's certificates.
        limit: The most bytes that an answer may have.
        failures: How many failures in a row open the breaker.
        pause: How many seconds it stays open before a probe.

    Raises:
        ConfigError: these do not go together, or a file for TLS cannot be used.
    """

    def __init__(  # noqa: PLR0913  # each is one thing about the server; all but one are by name
        self,
        address: Address,
        *,
        clock: Clock,
        deadline: float = 0.25,
        token: Token | None = None,
        tls: TLS | None = None,
        limit: int = ANSWER_LIMIT,
        failures: int = 5,
        pause: float = 1.0,
    ) -> None:
        if not 0 < deadline < float("inf"):
            msg = f"a deadline is a positive number of seconds, not `{deadline}`"
            raise ConfigError(msg)
        if token is not None and not (address.is_secure or address.is_local):
            msg = f"a token would go to `{address}` in the clear; use `https://` or a Unix socket"
            raise ConfigError(msg)
        if tls is not None and not address.is_secure:
            msg = f"`{address}` does not speak TLS; write `https://`"
            raise ConfigError(msg)
        self.address = address
        self.deadline = deadline
        self._clock = clock
        self._token = token
        self._contexts = Contexts(tls or TLS()) if address.is_secure else None
        self._limit = limit
        self._failures = failures
        self._pause = pause
        self._process = _Process(clock, failures, pause)

    @property
    def breaker(self) -> BreakerState:
        """The breaker's state."""
        return self._here().breaker.state

    @property
    def tally(self) -> Tally:
        """What asking came to so far."""
        here = self._here()
        with here.lock:
            trouble, when = here.last
            return Tally(
                here.answered,
                here.unanswered,
                here.refused,
                here.retried,
                trouble,
                when,
                here.is_reachable,
            )

    def ask(self, request: Request, body: bytes) -> Outcome:
        """What the server says to `body`. Never raises for what the server does."""
        here = self._here()
        permit = here.breaker.admit()
        if permit is None:
            return self._refused(here)
        outcome = None
        try:
            outcome = outcome_of(lead(self._steps(here, request, body), self.deadline))
        except NoAnswer as none:
            outcome = Unreachable(none.trouble, none.detail)
        finally:
            self._note(here, permit, outcome)
        return outcome

    async def ask_async(self, request: Request, body: bytes) -> Outcome:
        """The same; holds up no other coroutine."""
        here = self._here()
        permit = here.breaker.admit()
        if permit is None:
            return self._refused(here)
        outcome = None
        try:
            outcome = outcome_of(await lead_async(self._steps(here, request, body), self.deadline))
        except NoAnswer as none:
            outcome = Unreachable(none.trouble, none.detail)
        finally:
            self._note(here, permit, outcome)
        return outcome

    def close(self) -> None:
        """Close the connections that wait; the next request opens a new one."""
        self._here().pool.close()

    def _here(self) -> _Process:
        process = self._process
        if process.pid != os.getpid():
            # The parent's connections are closed here, which it does not notice: they have to be
            # nobody's but its own. Threads that come here together make several; one stays.
            process.pool.close()
            process = self._process = _Process(self._clock, self._failures, self._pause)
        return process

    def _steps(self, here: _Process, request: Request, body: bytes) -> Steps[Reply]:
        try:
            token = None if self._token is None else self._token.current()
        except TokenNotThereError as error:
            raise NoAnswer(Trouble.TOKEN, str(error)) from None
        return converse(
            request.with_body(body, token),
            address=self.address,
            context=self._context,
            pool=here.pool,
            limit=self._limit,
            retried=lambda: self._count_retry(here),
        )

    def _context(self) -> ssl.SSLContext | None:
        if self._contexts is None:
            return None
        try:
            return self._contexts.current()
        except ConfigError as error:
            raise NoAnswer(Trouble.TLS, str(error)) from None

    def _count_retry(self, here: _Process) -> None:
        with here.lock:
            here.retried += 1

    def _refused(self, here: _Process) -> Unreachable:
        with here.lock:
            here.unanswered += 1
            here.refused += 1
            last = here.last[0]
        why = "a probe is under way" if last is None else f"{last.trouble}: {last.detail}"
        return Unreachable(Trouble.BREAKER, why)

    def _note(self, here: _Process, permit: Permit, outcome: Outcome | None) -> None:
        if outcome is None:
            here.breaker.abandoned(permit)
        elif not isinstance(outcome, Unreachable):
            here.breaker.succeeded(permit)
            with here.lock:
                here.answered += 1
                here.is_reachable = True
        else:
            trouble = outcome.trouble
            if trouble is Trouble.TOKEN:
                here.breaker.abandoned(permit)  # nothing was sent
            elif trouble.is_outage:
                here.breaker.failed(permit)
            else:
                here.breaker.succeeded(permit)
            with here.lock:
                here.unanswered += 1
                here.last = (outcome, self._clock.now_ns())
                if trouble is not Trouble.TOKEN:
                    here.is_reachable = not trouble.is_outage
