"""The kill switch of one process: what was killed, and who is told."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING

from guardrails.errors import ConfigError
from guardrails.model.kill import Kill

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.model.kill import Scope, Subject
    from guardrails.ports import InFlight


class MemoryKillSwitch:
    """What was killed, in this process. Every method is atomic, from any thread.

    A kill is in force, and :attr:`generation` has grown, before any listener hears
    of it: whoever registers for a kill and then asks :meth:`find` misses none.

    Attributes:
        page: Its one item grows with every kill and resume.
        until: None: there is nothing that the page does not say.
        monotonic: The machine's clock, for which nobody asks.
    """

    __slots__ = ("_kills", "_listeners", "_lock", "monotonic", "page", "until")

    def __init__(self) -> None:
        # Reentrant: a signal handler that kills runs inside whatever it interrupts.
        self._lock = RLock()
        self.page = [0]
        self.until: float | None = None
        self.monotonic = time.monotonic
        # By age. Replaced, never changed, so that readers need no lock.
        self._kills: tuple[Kill, ...] = ()
        self._listeners: tuple[Callable[[Kill], None], ...] = ()

    @property
    def generation(self) -> int:
        """A number that grows with every kill and resume."""
        return self.page[0]

    def kill(self, scope: Scope, *, reason: str, by: str) -> Kill:
        """Kill everything in `scope`: no further call starts, async work in flight is cancelled.

        A scope that is killed already stays so in the words of the first kill; work
        that outlived that one is told again.
        """
        with self._lock:
            kill = Kill(scope, reason, by, self.page[0] + 1)
            if all(known.scope != scope for known in self._kills):
                self._kills = (*self._kills, kill)
            # After the kills: who sees the new number must find the kill. Added, not set, since
            # a handler may have killed in between.
            self.page[0] += 1
            if kill.generation != self.page[0]:  # so it did: ours holds since now
                kill = replace(kill, generation=self.page[0])
            listeners = self._listeners
        with ExitStack() as stack:
            # A stack calls every listener, also where one raises against its contract.
            for listener in reversed(listeners):
                stack.callback(listener, kill)
        return kill

    def resume(self, scope: Scope, *, reason: str, by: str) -> None:  # noqa: ARG002  # the governor records who and why
        """Lift a kill.

        Raises:
            ConfigError: `scope` is a run, which never resumes, or is not killed.
        """
        if scope.kind == "run":
            raise ConfigError(f"`{scope}` cannot resume: a killed run stays killed; open a new run")
        with self._lock:
            known: tuple[Kill, ...] | None = None
            rest: tuple[Kill, ...] = ()
            while known is not self._kills:  # again where a handler killed in between
                known = self._kills
                rest = tuple(kill for kill in known if kill.scope != scope)
                if len(rest) == len(known):
                    killed = ", ".join(f"`{kill.scope}`" for kill in rest) or "nothing"
                    raise ConfigError(f"`{scope}` is not killed; what is: {killed}")
            self._kills = rest
            self.page[0] += 1

    def find(self, subject: Subject) -> Kill | None:
        """The kill that holds for `subject`, the oldest first, or None."""
        for kill in self._kills:
            if kill.scope.covers(subject):
                return kill
        return None

    def active(self) -> tuple[Kill, ...]:
        """Every kill that is in force, the oldest first."""
        return self._kills

    def subscribe(self, listener: Callable[[Kill], None], *, here: bool = False) -> None:  # noqa: ARG002  # all are made here
        """Call `listener` after every kill, on the thread that killed; it must not raise."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def attend(self, work: InFlight) -> None:
        """Nothing: there are no kills by other processes."""
