"""What the breakers of one run have seen, and what they say about its next call.

Nothing here does I/O. A call is noted before it is reserved, so that calls which a budget
or a policy refuses count too: an agent that asks in vain for ever is in a loop. Memory
is bounded by what the breakers look back at, however many calls a run makes.

A run is part of its parent: what a child repeats, spends and fails in counts for its
ancestors as well, or a loop could hide by opening a new child in each round. Cycles
are a matter of one run, since calls of children at work at once interleave as they like.
"""

from __future__ import annotations

from collections import deque
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from guardrails.model.breakers import Action, Reached
from guardrails.model.money import display

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.model.breakers import Breaker, Breakers

MINUTE: Final = 60
"""Seconds that ``spend`` looks back, counted by whole seconds."""

# `hash(-1)` is `hash(-2)`, and `hash("")` is `hash(0)`. A lone surrogate is in no document.
_MINUS_ONE: Final = "\ud800-1"
_EMPTY: Final = "\ud800"


def fingerprint(document: Any) -> int:
    """A number for an exact JSON document: equal for equal ones, and else as good as never.

    It is for this process alone, and costs a fraction of a digest. Of the arguments it
    tells nothing, so it can be kept.
    """
    return hash(_frozen(document))


def _frozen(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return value or _EMPTY
    if value is None:
        return None
    if kind is bool:
        return (kind, value)  # Python takes True for 1
    if kind is list:
        return tuple([_frozen(item) for item in value])
    if kind is dict:
        return frozenset([(key, _frozen(item)) for key, item in value.items()])
    return _MINUS_ONE if value == -1 else value


class Rounds:
    """How often the last things came again in the same order.

    Args:
        longest: The longest order that is looked for; the shortest is of two things.
    """

    __slots__ = ("_last", "_matching", "_some")

    def __init__(self, longest: int) -> None:
        self._last: deque[object] = deque(maxlen=longest)
        # For each distance: how many of the last things equal the one that far before them.
        self._matching = [0] * longest
        self._some = False

    def note(self, thing: object) -> None:
        """Take the next one."""
        matching = self._matching
        if thing not in self._last:  # as almost always
            if self._some:
                self._matching = [0] * len(matching)
                self._some = False
            self._last.append(thing)
            return
        self._some = True
        for index, before in enumerate(reversed(self._last)):
            matching[index] = matching[index] + 1 if before == thing else 0
        self._last.append(thing)

    def found(self) -> tuple[int, int]:
        """The most rounds at the end, and the length of one; all the same thing is no round."""
        rounds, length = 1, 0
        if not self._some:
            return rounds, length
        matching = self._matching
        for distance in range(2, len(self._last) + 1):
            whole = matching[distance - 1] // distance + 1
            if whole > rounds and matching[0] < distance - 1:
                rounds, length = whole, distance
        return rounds, length


class RunBreakers:
    """What one run's breakers have seen. Every method is atomic, from any thread.

    Args:
        run_id: The run.
        settings: What is too much.
        monotonic: Seconds that never go back.
    """

    __slots__ = (
        "_calls",
        "_counts",
        "_cycle",
        "_failed",
        "_failures",
        "_lock",
        "_monotonic",
        "_resets",
        "_seconds",
        "_spent",
        "_told",
        "_tool_cycle",
        "_tripped",
        "run_id",
        "settings",
    )

    def __init__(self, run_id: str, settings: Breakers, monotonic: Callable[[], float]) -> None:
        self.run_id = run_id
        self.settings = settings
        self._monotonic = monotonic
        # Reentrant: a generator that is collected here, in a cycle, settles here.
        self._lock = RLock()
        self._told: frozenset[tuple[str, Action]] = frozenset()
        self._forget()

    def _forget(self) -> None:
        settings = self.settings
        self._calls: deque[tuple[str, int]] = deque()
        self._counts: dict[tuple[str, int], int] = {}
        self._cycle = Rounds(settings.cycle.of)
        self._tool_cycle = Rounds(settings.tool_cycle.of)
        self._failed: deque[bool] = deque()
        self._failures = 0
        # Whole seconds with what was spent in them, oldest first.
        self._seconds: deque[tuple[int, int]] = deque()
        self._spent = 0
        self._tripped: Reached | None = None
        # The last reset that was known when the stop was first met; None before.
        self._resets: int | None = None

    @property
    def needs_arguments(self) -> bool:
        """Whether calls are told apart by their arguments."""
        return self.settings.repeat.is_on or self.settings.cycle.is_on

    @property
    def tripped(self) -> Reached | None:
        """What stopped the run; None while nothing did."""
        return self._tripped

    def note(self, tool: str, key: int, *, own: bool) -> tuple[Reached, ...]:
        """What is reached with this call; a stop holds from then on.

        Args:
            tool: The tool's name.
            key: Stands for its arguments.
            own: Whether it is a call of this run, and not of one below it.
        """
        settings = self.settings
        repeat, cycle, tool_cycle = settings.repeat, settings.cycle, settings.tool_cycle
        call = (tool, key)
        with self._lock:
            if repeat.is_on and tool not in repeat.ignore:
                self._repeat(call)
            if own and cycle.is_on and tool not in cycle.ignore:
                self._cycle.note(call)
            if own and tool_cycle.is_on and tool not in tool_cycle.ignore:
                self._tool_cycle.note(tool)
            return self.look(tool, key, own=own)

    def look(self, tool: str, key: int, *, own: bool) -> tuple[Reached, ...]:
        """The same of a call that was noted before, as it is now; of another, without noting it."""
        with self._lock:
            if self._tripped is not None:
                return (self._tripped,)
            reached = self._reached(tool, key, own=own)
            if reached:
                self._tripped = next((each for each in reached if each.action is Action.STOP), None)
            return tuple(reached)

    def finished(self, tool: str, *, failed: bool, micro_usd: int) -> None:
        """Take the end of a call, of the run or of one below it."""
        errors = self.settings.errors
        with self._lock:
            if errors.is_on and tool not in errors.ignore:
                self._failed.append(failed)
                self._failures += failed
                if len(self._failed) > errors.of:
                    self._failures -= self._failed.popleft()
            self.spent(micro_usd)

    def spent(self, micro_usd: int) -> None:
        """Take what was spent, in a call or between calls."""
        if not micro_usd or not self.settings.spend.is_on:
            return
        with self._lock:
            second = int(self._monotonic())
            if self._seconds and self._seconds[-1][0] >= second:
                second, before = self._seconds.pop()
                self._seconds.append((second, before + micro_usd))
            else:
                self._seconds.append((second, micro_usd))
            self._spent += micro_usd
            self._expire(second)

    def untold(self, reached: Reached) -> bool:
        """Whether nobody was told of this level in this run yet; then it is told now."""
        level = (reached.breaker, reached.action)
        with self._lock:
            known = level in self._told
            self._told |= {level}
            return not known

    def retell(self, reached: Reached) -> None:
        """Have this level told again: it could not be recorded."""
        with self._lock:
            self._told -= {(reached.breaker, reached.action)}

    def hear_of_reset(self, last: int) -> bool:
        """Begin anew where somebody lets the stopped run go on; whether it does.

        Args:
            last: The number of the last reset that anybody made; 0 for none. What was there when
                the stop was first met, was for an earlier one.
        """
        with self._lock:
            if self._tripped is None:
                return True
            if self._resets is None:
                self._resets = last
            if last <= self._resets:
                return False
            self.reset()
            return True

    def reset(self) -> None:
        """Begin anew: nothing was seen, nothing is stopped, and all will be told again."""
        with self._lock:
            self._told = frozenset()
            self._forget()

    def _expire(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - MINUTE:
            self._spent -= self._seconds.popleft()[1]

    def _repeat(self, call: tuple[str, int]) -> None:
        calls, counts = self._calls, self._counts
        calls.append(call)
        counts[call] = counts.get(call, 0) + 1
        if len(calls) > self.settings.repeat.of:
            oldest = calls.popleft()
            counts[oldest] -= 1
            if not counts[oldest]:
                del counts[oldest]

    def _reached(self, tool: str, key: int, *, own: bool) -> list[Reached]:
        # Most calls reach nothing, so no texts are written before it is known that one does.
        settings = self.settings
        reached: list[Reached] = []
        times = self._counts.get((tool, key), 0)
        if times >= settings.repeat.lowest and tool not in settings.repeat.ignore:
            text = f"`{tool}` was called {times} times with the same arguments"
            reached.append(self._at("repeat", settings.repeat, times, text))
        if own:
            self._rounds(reached, "cycle", settings.cycle, self._cycle, tool)
            self._rounds(reached, "tool_cycle", settings.tool_cycle, self._tool_cycle, tool)
        errors = settings.errors
        if self._failures and len(self._failed) >= errors.of:
            percent = self._failures * 100 // errors.of
            if percent >= errors.lowest:
                text = f"{self._failures} of the last {errors.of} calls failed"
                reached.append(self._at("errors", errors, percent, text))
        if self._spent:
            self._expire(int(self._monotonic()))
            if self._spent >= settings.spend.lowest:
                text = f"{display(self._spent)} were spent within a minute"
                reached.append(self._at("spend", settings.spend, self._spent, text))
        return reached

    def _rounds(
        self, reached: list[Reached], name: str, breaker: Breaker, rounds: Rounds, tool: str
    ) -> None:
        times, length = rounds.found()
        if times >= breaker.lowest and tool not in breaker.ignore:
            what = "calls with the same arguments" if name == "cycle" else "tools"
            text = f"the same {length} {what} came {times} times in the same order"
            reached.append(self._at(name, breaker, times, text))

    def _at(self, name: str, breaker: Breaker, number: int, text: str) -> Reached:
        return Reached(name, breaker.at(number), self.run_id, text)
