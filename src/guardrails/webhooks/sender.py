"""Sending a webhook: signed anew at every attempt, and tried again while that makes sense.

A 2xx delivers. 410 (gone) ends it at once and for good: the receiver wants nothing more. A
redirect ends it, too, for it is not followed. Everything else is tried again.
"""

from __future__ import annotations

import os
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.errors import ConfigError, DeliveryError
from guardrails.webhooks.retries import RetryPolicy
from guardrails.webhooks.signing import sign
from guardrails.webhooks.transport import Answer, NoAnswer, post, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.ports import Clock
    from guardrails.webhooks.endpoint import Endpoint

_NS: Final = 1_000_000_000
_GONE: Final = 410
_chance: Final[Callable[[], float]] = random.SystemRandom().random


@dataclass(frozen=True, slots=True)
class Receipt:
    """A webhook that was delivered.

    Attributes:
        status: The HTTP status that accepted it.
        attempts: How many it took.
        seconds: How long, pauses included.
    """

    status: int
    attempts: int
    seconds: float


class WebhookSender:
    """Sends to one endpoint. :meth:`send` blocks: call it from a thread that may wait.

    Args:
        endpoint: Where to.
        clock: The time.
        retries: When it is tried again.
        chance: Gives a random number from 0 up to 1.
        wait: Waits so many seconds, or less and returns True where :meth:`close` was called; None
            for the machine's time.
        attempt: Makes one attempt.
    """

    def __init__(  # noqa: PLR0913  # the services, each by its name
        self,
        endpoint: Endpoint,
        *,
        clock: Clock,
        retries: RetryPolicy | None = None,
        chance: Callable[[], float] = _chance,
        wait: Callable[[float], bool] | None = None,
        attempt: Callable[[Endpoint, Mapping[str, str], bytes], Answer] = post,
    ) -> None:
        self.endpoint = endpoint
        self._clock = clock
        self._retries = retries if retries is not None else RetryPolicy()
        self._chance = chance
        self._wait = wait
        self._attempt = attempt
        self._gone = False
        self._stop = threading.Event()
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<WebhookSender to {self.endpoint.origin}>"

    def send(self, id: str, body: bytes, *, waited: float = 0.0) -> Receipt:
        """Deliver `body`, as JSON, under `id`.

        Args:
            id: The webhook's id, the same at every attempt; receivers know repetitions by it.
            body: What is sent, exactly.
            waited: Seconds that it has waited to be sent; they count as time for attempts.

        Raises:
            DeliveryError: it was not delivered.
            ValueError: the id has a wrong form.
        """
        if self._gone:
            raise DeliveryError(
                f"{self.endpoint.origin} answered 410 (gone) before; nothing more is sent to it",
                attempts=0,
                status=_GONE,
            )
        began = self._clock.monotonic()
        made = 0
        while True:
            answer, trouble = self._once(id, body)
            made += 1
            passed = self._clock.monotonic() - began
            if answer is not None and 200 <= answer.status < 300:  # noqa: PLR2004  # HTTP's 2xx
                return Receipt(answer.status, made, passed)
            final = self._is_final(answer)
            pause = None if final else self._pause(made, max(0.0, waited) + passed, answer)
            if pause is None or self._waited(pause):
                raise self._failure(trouble, made, answer, stopped=pause is not None)

    def close(self) -> None:
        """Try nothing again: a pause that is under way ends, and with it the delivery."""
        self._own_stop().set()

    def _once(self, id: str, body: bytes) -> tuple[Answer | None, str]:
        """The answer, and what is wrong with it."""
        timestamp = self._clock.now_ns() // _NS
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "guardrails-webhooks/1",
            **sign(id, timestamp, body, self.endpoint.secrets),
        }
        try:
            answer = self._attempt(self.endpoint, headers, body)
        except NoAnswer as error:
            return None, str(error)
        except ConfigError as error:
            return None, str(error)
        if answer.status == _GONE:
            return answer, "it answered 410: it is gone, nothing more is sent to it"
        if 300 <= answer.status < 400:  # noqa: PLR2004  # HTTP's 3xx
            return answer, f"it answered {answer.status}: redirects are not followed"
        return answer, f"it answered {answer.status}"

    def _is_final(self, answer: Answer | None) -> bool:
        if answer is None:
            return False
        self._gone = self._gone or answer.status == _GONE
        return self._gone or 300 <= answer.status < 400  # noqa: PLR2004  # HTTP's 3xx

    def _pause(self, made: int, passed: float, answer: Answer | None) -> float | None:
        retry_after = None if answer is None else answer.retry_after
        asked = seconds_of(retry_after, self._clock.now_ns() / _NS)
        return self._retries.pause(made, passed, self._chance(), asked)

    def _waited(self, pause: float) -> bool:
        return self._own_stop().wait(pause) if self._wait is None else self._wait(pause)

    def _own_stop(self) -> threading.Event:
        if self._pid != os.getpid():
            # Another thread of the process that this one was forked from may have held its lock.
            self._stop, self._pid = threading.Event(), os.getpid()
        return self._stop

    def _failure(
        self, trouble: str, made: int, answer: Answer | None, *, stopped: bool
    ) -> DeliveryError:
        times = "once" if made == 1 else f"{made} times"
        end = "; the process ended before the next attempt" if stopped else ""
        return DeliveryError(
            f"{self.endpoint.origin}, tried {times}: {trouble}{end}",
            attempts=made,
            status=None if answer is None else answer.status,
            out_of_reach=answer is None,
            answer="" if answer is None else answer.excerpt,
        )
