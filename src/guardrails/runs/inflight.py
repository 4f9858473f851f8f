"""Calls in flight: those that a kill must reach, and those that it cannot stop."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from guardrails.model.kill import Reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from guardrails.model.kill import Kill, Subject
    from guardrails.ports import Killable, KillSwitch


class InFlight:
    """Who hears of a kill while at work. One for each kill switch, which it listens to.

    It needs no lock: each step on its two dictionaries is one that threads do whole.

    Args:
        kill_switch: Where kills come from.
    """

    __slots__ = ("_kill_switch", "_plain", "_watches")

    def __init__(self, kill_switch: KillSwitch) -> None:
        self._kill_switch = kill_switch
        self._watches: dict[Watch, None] = {}
        # The plain functions at work, by whatever tells their calls apart.
        self._plain: dict[object, tuple[Killable, str]] = {}
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
            on_kill: Called on the thread that killed, or, for a kill by another process, on
                one that looks for those; it must not raise, nor block.
            owner: What the watch belongs to, as an asyncio task. Of one owner's watches
                a kill calls only the last one entered of those that it covers.
        """
        return Watch(self, subjects, on_kill, owner)

    def began(self, call: object, run: Killable, tool: str) -> None:
        """Note that a plain function is at work; nothing can stop it, but it is counted."""
        self._plain[call] = (run, tool)

    def ended(self, call: object) -> None:
        """Note that the plain function of `call` has ended."""
        self._plain.pop(call, None)

    def reach(self, kill: Kill) -> Reach:
        """What `kill` meets at work here; counted before it is told."""
        met = [watch for watch in tuple(self._watches) if watch.is_met_by(kill)]
        tasks = {id(watch.owner) for watch in met if watch.owner is not None}
        plain = sum(
            any(map(kill.scope.covers, run.subjects(tool)))
            for run, tool in tuple(self._plain.values())
        )
        return Reach(len(tasks), sum(watch.owner is None for watch in met), plain)

    def forget(self) -> None:
        """Let go of everything, in a forked child: what was in flight is so in its parent."""
        self._watches.clear()
        self._plain.clear()

    def __len__(self) -> int:
        """How many are watched."""
        return len(self._watches)

    def _add(self, watch: Watch) -> None:
        self._watches[watch] = None
        # Only now: a kill before this line is found here, a later one finds the watch.
        switch = self._kill_switch
        switch.attend(self)
        watch.since = switch.generation
        for subject in watch.subjects:
            kill = switch.find(subject)
            if kill is not None:
                watch.on_kill(kill)
                return

    def _remove(self, watch: Watch) -> None:
        self._watches.pop(watch, None)

    def _on_kill(self, kill: Kill) -> None:
        with ExitStack() as stack:
            # A stack calls every watch, also where one raises against its contract.
            for watch in reversed(list(self._told(kill))):
                stack.callback(watch.on_kill, kill)

    def _told(self, kill: Kill) -> Iterator[Watch]:
        told: set[int] = set()
        for watch in reversed(tuple(self._watches)):
            if id(watch.owner) in told or not watch.is_met_by(kill):
                continue
            if watch.owner is not None:
                told.add(id(watch.owner))
            yield watch


class Watch:
    """One call in flight; a context manager.

    Attributes:
        since: The kill switch's number when it was entered. What came before was looked up
            then, and may have been resumed since.
    """

    __slots__ = ("_in_flight", "on_kill", "owner", "since", "subjects")

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
        self.since = -1

    def is_met_by(self, kill: Kill) -> bool:
        """Whether `kill` came while it stood, and covers it."""
        return kill.generation >= self.since and any(map(kill.scope.covers, self.subjects))

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
