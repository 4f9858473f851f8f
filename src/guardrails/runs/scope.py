"""``with guardrails.run(...)``: where a run begins and ends, and where its kill stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.errors import ConfigError, GuardrailsError, RunKilled, RunStopped
from guardrails.runs.context import Frame, current_run, enter, leave
from guardrails.runs.directory import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextvars import Token
    from types import TracebackType

    from guardrails.runs.directory import Joining, Listing
    from guardrails.runs.run import Run


class RunScope:
    """A context, sync and async, in which a run is the current one. It is entered once.

    Leaving it closes the run, from whatever thread or context. A :class:`RunKilled` of
    this very run becomes :class:`RunStopped` here, alone or inside an exception group;
    the kill of an ancestor goes on to the ancestor's scope. A killed run that is left
    without an exception raises none.

    Args:
        run: A run that was not entered before.
        listing: Its place in the directory of runs; None where there is none.
    """

    __slots__ = ("_listing", "_run", "_token")

    def __init__(self, run: Run, listing: Listing | Joining | None = None) -> None:
        self._run = run
        self._listing = listing
        self._token: Token[Frame | None] | None = None

    def __enter__(self) -> Run:
        """The run, open.

        Raises:
            ConfigError: it was made outside of the run that is current here: entering it
                would lead out of that run's budget, mode and kill.
        """
        current = current_run()
        if current is not None and not current.is_closed and current.id not in self._run.run_ids:
            raise ConfigError(
                f"the run `{self._run.id}` was made outside of the run `{current.id}` and is "
                "entered inside of it; make it where it is entered"
            )
        self._run.open()
        if self._listing is not None:
            try:
                self._listing.open()
            except BaseException:
                self._run.close()
                raise
        self._token = enter(Frame(self._run))
        if self._run.telemetry is not None:
            self._run.telemetry.opened()
        return self._run

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._run.telemetry is not None:
            self._run.telemetry.closed(exc)
        if self._token is not None:
            leave(self._token)
            self._token = None
        try:
            try:
                self._run.close()
            finally:
                if self._listing is not None:
                    self._listing.close(_end_of(exc))
        except GuardrailsError as error:
            if exc is None:
                raise
            # What happened in the run matters more than that its end is not recorded.
            exc.add_note(str(error))
        if exc is not None:
            self.turn(exc)

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def _is_own(self, error: BaseException) -> bool:
        return isinstance(error, RunKilled) and error.run_id == self._run.id

    def turn(self, exc: BaseException) -> None:
        """Raise what leaving the run with `exc` raises in its place; nothing where that is `exc`.

        Raises:
            RunStopped: `exc` is the kill of this very run.
            BaseExceptionGroup: `exc` is a group with that and others.
        """
        if self._is_own(exc):
            raise self._stopped(exc) from exc
        if not isinstance(exc, BaseExceptionGroup):
            return
        leaves = tuple(_leaves(exc))
        kill = next(filter(self._is_own, leaves), None)
        if kill is None:
            return
        if all(self._is_own(leaf) or isinstance(leaf, RunStopped) for leaf in leaves):
            # Nothing but this kill, and children that had been stopped by kills of their own.
            raise self._stopped(kill) from kill
        stopped = self._with_stopped(exc)
        # The new group stands for the old one, whose cause it keeps.
        raise stopped from exc.__cause__

    def _stopped(self, kill: BaseException) -> RunStopped:
        if not isinstance(kill, RunKilled):  # pragma: no cover  # only own kills come here
            raise TypeError(f"a RunKilled is needed, not a {type(kill).__name__}")
        return RunStopped(
            f"the run `{self._run.id}` of `{self._run.agent.id}` was stopped: {kill.reason} "
            f"(killed: {kill.scope})",
            tool=kill.tool,
            agent=self._run.agent.id,
            run_id=self._run.id,
            decision_id=kill.decision_id,
        )

    def _with_stopped(
        self, group: BaseExceptionGroup[BaseException]
    ) -> BaseExceptionGroup[BaseException]:
        leaves: list[BaseException] = []
        for leaf in group.exceptions:
            if isinstance(leaf, BaseExceptionGroup):
                leaves.append(self._with_stopped(leaf))
            elif self._is_own(leaf):
                stopped = self._stopped(leaf)
                stopped.__cause__ = leaf
                leaves.append(stopped)
            else:
                leaves.append(leaf)
        changed = group.derive(leaves)
        changed.__cause__, changed.__context__ = group.__cause__, group.__context__
        changed.__traceback__ = group.__traceback__
        for note in getattr(group, "__notes__", ()):
            changed.add_note(note)
        return changed


def _end_of(exc: BaseException | None) -> State:
    if exc is None:
        return State.CLOSED
    stopped = any(isinstance(leaf, RunKilled | RunStopped) for leaf in _leaves(exc))
    return State.STOPPED if stopped else State.FAILED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error
