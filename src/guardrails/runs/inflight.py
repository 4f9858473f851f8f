"""Calls in flight that a kill must reach."""

from __future__ import annotations

from contextlib import ExitStack
from threading import RLock
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from guardrails.model.kill import Kill, Subject
    from guardrails.ports import KillSwitch


class InFlight:
    """Who hears of a kill while at work. One for each kill switch, which it listens to.

    Args:
        kill_switch: Where kills come from.
    """

    __slots__ = ("_kill_switch", "_lock", "_watches")

    def __init__(self, kill_switch: KillSwitch) -> None:
        self._kill_switch = kill_switch
        # Reentrant: a signal handler that kills runs inside whatever it interrupts.
        self._lock = RLock()
        self._watches: dict[Watch, None] = {}
        kill_switch.subscribe(self._on_kill)

    def watch(
        self,
        subjects: tuple[Subject, ...],
        on_kill: Callable[[Kill], None],
        *,
        owner: object = None,
    ) -> Watch:
        """A context within which a kill of any of `subjects` calls `on_kill`.

        A kill that is in force when the context is entered calls it at once. So a kill
        that comes meanwhile may call it twice.

        Args:
            subjects: The call, and each ancestor of its run (see ``Run.subjects``).
            on_kill: Called on the thread that killed; it must not raise, nor block.
            owner: What the watch belongs to, as an asyncio task. Of one owner's watches
                a kill calls only the last one entered of those that it covers.
        """
        return Watch(self, subjects, on_kill, owner)

    def __len__(self) -> int:
        """How many are watched."""
        return len(self._watches)

    def _add(self, watch: Watch) -> None:
        with self._lock:
            self._watches[watch] = None
        # Only now: a kill before this line is found here, a later one finds the watch.
        for subject in watch.subjects:
            kill = self._kill_switch.find(subject)
            if kill is not None:
                watch.on_kill(kill)
                return

    def _remove(self, watch: Watch) -> None:
        with self._lock:
            self._watches.pop(watch, None)

    def _on_kill(self, kill: Kill) -> None:
        with self._lock:
            watches = tuple(reversed(self._watches))
        told: set[int] = set()
        covered: list[Watch] = []
        for watch in watches:
            if id(watch.owner) in told or not any(map(kill.scope.covers, watch.subjects)):
                continue
            if watch.owner is not None:
                told.add(id(watch.owner))
            covered.append(watch)
        with ExitStack() as stack:
            # A stack calls every watch, also where one raises against its contract.
            for watch in reversed(covered):
                stack.callback(watch.on_kill, kill)


class Watch:
    """One call in flight; a context manager."""

    __slots__ = ("_in_flight", "on_kill", "owner", "subjects")

    def __init__(
        self,
        in_flight: InFlight,
        subjects: tuple[Subject, ...],
        on_kill: Callable[[Kill], None],
        owner: object,
    ) -> None:
        self._in_flight = in_flight
        self.subjects = subjects
        self.on_kill = on_kill
        self.owner = owner

    def __enter__(self) -> Self:
        try:
            self._in_flight._add(self)  # noqa: SLF001  # the two are one thing
        except BaseException:
            self._in_flight._remove(self)  # noqa: SLF001  # as above
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._in_flight._remove(self)  # noqa: SLF001  # as above
