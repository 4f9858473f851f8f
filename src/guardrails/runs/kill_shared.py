"""The kill switch of one machine: a kill by any process holds for all of them at once.

What a call pays where nothing changed: the page's number and the time are read
(:meth:`guardrails.runs.run.Run.check_kill`). Where the number changed, the caller reads
the new acts of the table; where either cannot be read, it is refused. Calls at work hear
of kills by other processes from a thread (:mod:`guardrails.runs.kill_watcher`).
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import time
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from threading import RLock
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.errors import ConfigError, StateUnavailable
from guardrails.forks import survive_forks
from guardrails.model.kill import Kill, Reach, Scope
from guardrails.runs.kill_answers import LISTED, KillAnswers
from guardrails.runs.kill_store import NOTICE, KillStore
from guardrails.runs.kill_watcher import KillWatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guardrails.model.kill import Subject
    from guardrails.ports import InFlight

_log: Final = logging.getLogger("guardrails")

_PAST: Final = -math.inf


class _PutOff(NamedTuple):
    """A change that a signal handler asked for in the middle of another one."""

    act: str
    scope: Scope
    reason: str
    by: str


class SharedKillSwitch:
    """What was killed, on this machine. Every method is atomic, from any thread and process.

    A kill holds, for every process, when :meth:`kill` returns: each call that starts then
    finds another number on the page. A kill that cannot be written holds in this process
    nonetheless, and raises.

    Args:
        state: The directory that the machine's processes share.
        now_ns: The time, UTC nanoseconds.
        monotonic: Seconds that never go back.

    Attributes:
        page: The page's number, as ``page[0]``.
        until: As :class:`guardrails.ports.KillSwitch` says: within it the paths of page and table
            need not be looked at again, and nothing holds here alone.
        monotonic: As there.
        store: The kill table and its page.
        answers: What other processes say about a kill.

    Raises:
        StateUnavailable: table or page cannot be used; also from every method.
    """

    def __init__(
        self,
        state: str | Path,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        # Reentrant: a signal handler that kills runs inside whatever it interrupts.
        self._lock = RLock()
        survive_forks(self)
        with self._lock:  # a fork must not fall into the making of the table, either
            self._open(state, now_ns, monotonic)

    def _open(
        self, state: str | Path, now_ns: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        self.store = KillStore(state, now_ns)
        self.answers = KillAnswers(self.store, self._turn)
        self.monotonic = monotonic
        self.page = self.store.page.read
        # Under the lock: table or page are in use by this thread, and what came meanwhile.
        self._in_use = False
        self._waiting: deque[_PutOff] = deque()
        # The number under which the table was read, if it was even.
        self._known = -1
        self.until = _PAST
        # Never given twice, so that nobody remembers what was found under it.
        self._unsettled = itertools.count(-2, -1)
        # What was read up to the act of this generation. Readers need no lock: each scope is
        # there, or not, by one step.
        self._last = 0
        self._kills: dict[Scope, Kill] = {}
        # Of these the ones that could not be written, and hold here alone.
        self._unwritten: set[Scope] = set()
        self._listeners: tuple[tuple[Callable[[Kill], None], bool], ...] = ()
        # For the thread: who is told, of what, and what it owes the others.
        self._works: tuple[InFlight, ...] = ()
        self._untold: list[Kill] = []
        self._owed: list[tuple[int, Reach]] = []
        self._listed: str | None = None
        self._next_attempt = 0.0
        self._next_listing = 0.0
        self._watcher = KillWatcher(self._look_for_others, self._is_busy, self._unlist, self._lock)
        self._catch_up()

    # ------------------------------------------------------------------------------- reading

    @property
    def generation(self) -> int:
        """The page's number; a negative one, each time another, while a change is under way.

        Raises:
            StateUnavailable: what was killed cannot be read.
        """
        number = self.page[0]
        if number == self._known and self.monotonic() < self.until:
            return number
        return self._catch_up()

    def find(self, subject: Subject) -> Kill | None:
        """The kill that holds for `subject`, the oldest first, or None."""
        _ = self.generation
        kills = self._kills
        if not kills:
            return None
        found = map(kills.get, _scopes_of(subject))
        return min((kill for kill in found if kill is not None), key=_age, default=None)

    def active(self) -> tuple[Kill, ...]:
        """Every kill that is in force, the oldest first."""
        _ = self.generation
        return _by_age(self._kills)

    # ------------------------------------------------------------------------------- changing

    def kill(self, scope: Scope, *, reason: str, by: str) -> Kill:
        """Kill everything in `scope`, on the whole machine.

        A scope that is killed already stays so in the words of the first kill; work
        that outlived that one is told again.
        """
        with self._lock:
            if self._in_use:
                return self._put_off(_PutOff("kill", scope, reason, by))
        try:
            with self._turn():
                act = self.store.write("kill", scope, reason=reason, by=by)
                kill = Kill(scope, reason, by, act.generation)
                self._read(own=act.generation)
                self._doubt()
        except StateUnavailable:
            with self._lock:
                kill = Kill(scope, reason, by, max(self._last, self.page[0]) + 1)
                self._kills.setdefault(scope, kill)
                self._unwritten.add(scope)
                self._doubt()
            self._tell(kill, own=True)
            raise
        self._tell(kill, own=True)
        return kill

    def resume(self, scope: Scope, *, reason: str, by: str) -> None:
        """Lift a kill, on the whole machine.

        Raises:
            ConfigError: `scope` is a run, which never resumes, or is not killed.
        """
        if scope.kind == "run":
            raise ConfigError(f"`{scope}` cannot resume: a killed run stays killed; open a new run")
        with self._lock:
            if self._in_use:
                self._check_killed(scope)
                self._put_off(_PutOff("resume", scope, reason, by))
                return

        def check() -> None:
            self._read()
            self._check_killed(scope)

        with self._turn():
            self.store.write("resume", scope, reason=reason, by=by, check=check)
            self._read()
            self._doubt()

    # ------------------------------------------------------------------------------- listeners

    def subscribe(self, listener: Callable[[Kill], None], *, here: bool = False) -> None:
        """Call `listener` after every kill, with `here` only after those made by this process.

        On the thread that killed; after a kill by another process on the thread that looks
        for those, and only while there are calls in flight to look for.
        """
        with self._lock:
            self._listeners = (*self._listeners, (listener, here))

    def attend(self, work: InFlight) -> None:
        """Look for kills by other processes for as long as `work` has calls in flight."""
        if self._watcher.is_running and work in self._works:
            return
        with self._lock:
            if work not in self._works:
                self._works = (*self._works, work)
            if not self._watcher.is_running:
                # What came before, each call finds itself when it begins.
                self._untold.clear()
                self._watcher.start()

    def close(self) -> None:
        """Close the table; every later call refuses, and nobody looks for kills any more."""
        self._watcher.stop()
        with self._lock:
            self._doubt()
            self.store.database.close()

    @property
    def is_watching(self) -> bool:
        """Whether a thread looks for kills by other processes now."""
        return self._watcher.is_running

    # ------------------------------------------------------------------------------- within

    def _catch_up(self) -> int:
        with self._turn():
            self.store.check_places()
            if self.page[0] & 1:
                self.store.try_settle()
            number = self.page[0]  # before the table: what is committed later changes it
            if number != self._known:
                self._read()
            # First: a signal handler that kills from here on puts it into the past.
            self.until = self.monotonic() + NOTICE
            if number & 1 or self._unwritten or self._waiting:
                self._doubt()
                return next(self._unsettled)
            self._known = number
            return number

    def _doubt(self) -> None:
        """Have every call look at the table, or say why it cannot, until that has been done."""
        self._known = -1
        self.until = _PAST

    def _read(self, own: int | None = None) -> None:
        """Read the acts that are new, of which `own` was made by this process."""
        for act in self.store.acts(self._last):
            if act.generation <= self._last:
                continue
            kill = Kill(act.scope, act.reason, act.by, act.generation)
            if act.act == "resume":
                self._kills.pop(act.scope, None)
                self._unwritten.discard(act.scope)
            else:
                self._kills.setdefault(act.scope, kill)
                if self._watcher.is_running and act.generation != own:
                    self._untold.append(kill)
            self._last = act.generation

    def _check_killed(self, scope: Scope) -> None:
        if scope not in self._kills:
            killed = ", ".join(f"`{each.scope}`" for each in _by_age(self._kills)) or "nothing"
            raise ConfigError(f"`{scope}` is not killed; what is: {killed}")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The time in which this thread alone uses table and page."""
        with self._lock:
            if self._in_use:
                raise StateUnavailable(
                    "the kill switch is at work on this very thread: a signal handler cannot "
                    "make a governed call there"
                )
            self._in_use = True
            try:
                yield
            finally:
                self._in_use = False
                if self._waiting:
                    self._make_up()

    def _put_off(self, told: _PutOff) -> Kill:
        # The thread is in the middle of using the table; it does this as the next thing.
        self._waiting.append(told)
        kill = Kill(told.scope, told.reason, told.by, max(self._last, self.page[0]) + 1)
        if told.act == "kill":
            self._kills.setdefault(told.scope, kill)
        self._doubt()
        return kill

    def _make_up(self) -> None:
        while self._waiting:
            with suppress(IndexError):
                told = self._waiting.popleft()
                if told.act == "kill":
                    self.kill(told.scope, reason=told.reason, by=told.by)
                else:
                    self.resume(told.scope, reason=told.reason, by=told.by)

    def _tell(self, kill: Kill, *, own: bool) -> None:
        with ExitStack() as stack:
            # A stack calls every listener, also where one raises against its contract.
            for listener, here in reversed(self._listeners):
                if own or not here:
                    stack.callback(listener, kill)

    # ------------------------------------------------------------------------------- the thread

    def _look_for_others(self) -> None:
        _ = self.generation
        if self._untold:
            with self._lock:
                untold, self._untold = self._untold, []
            for kill in untold:
                met = [work.reach(kill) for work in self._works]
                self._owed.append((kill.generation, Reach(*map(sum, zip(*met, strict=True)))))
                self._tell(kill, own=False)
        now = self.monotonic()
        if (self._owed or now >= self._next_listing) and now >= self._next_attempt:
            self._next_attempt = now + NOTICE
            with suppress(StateUnavailable):  # it has told its own calls; the answer can wait
                self._pay(now)
                self._next_attempt = now

    def _pay(self, now: float) -> None:
        if now >= self._next_listing:
            self._listed = self.answers.listed(self._listed)
            self._next_listing = now + LISTED / 3
        while self._owed and self._listed is not None:
            self.answers.answer(self._listed, os.getpid(), *self._owed[0])
            self._owed.pop(0)

    def _is_busy(self) -> bool:
        return any(map(bool, self._works)) or bool(self._untold) or bool(self._owed)

    def _unlist(self) -> None:
        listed, self._listed = self._listed, None
        self._next_listing = 0.0
        if listed is not None:
            with suppress(StateUnavailable):  # a kill waits a little for nothing then
                self.answers.unlisted(listed)

    @property
    def fork_lock(self) -> RLock:
        """Held while this thread uses table or page."""
        return self._lock

    def after_fork(self) -> None:
        """Leave to the parent what is in flight there, and its thread."""
        self._watcher.forget()
        self._listed, self._next_listing = None, 0.0
        self._untold, self._owed = [], []
        for work in self._works:
            work.forget()


def _age(kill: Kill) -> int:
    return kill.generation


def _by_age(kills: dict[Scope, Kill]) -> tuple[Kill, ...]:
    return tuple(sorted(kills.values(), key=_age))


def _scopes_of(subject: Subject) -> Iterator[Scope]:
    """Every scope that covers `subject`; the reverse of :meth:`Scope.covers`."""
    yield Scope("all")
    yield Scope("env", subject.environment)
    yield Scope("agent", subject.agent)
    yield Scope("agent", f"{subject.agent}@{subject.version}")
    for run_id in subject.run_ids:
        yield Scope("run", run_id)
    if subject.tool is not None:
        yield Scope("tool", subject.tool)


__all__ = ["SharedKillSwitch"]
