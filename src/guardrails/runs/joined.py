"""A run of another process, in this one: the same id, the same account, the same kills."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from guardrails.errors import GuardrailsError, RunClosed, StateUnavailable
from guardrails.runs.run import Run, RunState

if TYPE_CHECKING:
    from guardrails.ports import Ledger


@runtime_checkable
class SharedLedger(Protocol):
    """A ledger whose accounts processes can share."""

    def share_run(self, run_id: str) -> None:
        """Let other processes join the run and its ancestors."""
        ...

    def join_run(self, run_id: str) -> None:
        """Open, in this process, the account of a run that another one has shared.

        Raises:
            RunClosed: no such run is shared, or it has ended.
        """
        ...


def shared(ledger: Ledger, run_id: str) -> SharedLedger:
    """`ledger`, if its accounts can be shared.

    Raises:
        StateUnavailable: it keeps them in this process.
    """
    if not isinstance(ledger, SharedLedger):
        raise StateUnavailable(
            f"the run `{run_id}` cannot be carried into another process: its account is in this "
            "process's memory; name a directory under `state` in guardrails.yaml",
            run_id=run_id,
        )
    return cast("SharedLedger", ledger)


class JoinedRun(Run):
    """A run that was opened in another process. Leaving it here ends it here alone."""

    __slots__ = ()

    def open(self) -> None:
        """Join its account, and record that.

        Raises:
            RunClosed: it has ended where it was opened.
            StateUnavailable: ledger or record cannot be reached.
        """
        ledger = shared(self.governor.ledger, self.id)
        with self._lock:
            if self._state is not RunState.NEW:
                raise RunClosed(f"the run `{self.id}` was joined and left before", run_id=self.id)
            self._state = RunState.CLOSED
        try:
            ledger.join_run(self.id)
            try:
                self._write("run.joined", {"pid": os.getpid()})
            except BaseException:
                self.governor.ledger.close_run(self.id)
                raise
        except GuardrailsError:
            raise
        except Exception as error:  # the boundary of ledger and record: a fault refuses
            raise StateUnavailable(
                f"the run `{self.id}` cannot be joined: {error}", run_id=self.id
            ) from error
        self._begin()
        if isinstance(self.parent, JoinedRun):
            self.parent.begin_above()

    def begin_above(self) -> None:
        """Count as open, it and its ancestors: a run below it was joined, and so their accounts."""
        self._begin()
        if isinstance(self.parent, JoinedRun):
            self.parent.begin_above()

    def _begin(self) -> None:
        self._watch.start()
        self._state = RunState.OPEN

    def close(self) -> None:
        """Leave it: its account in this process is closed, not the run; again, nothing.

        Raises:
            StateUnavailable: ledger or record cannot be reached; it is left all the same.
        """
        with self._lock:
            if self._state is not RunState.OPEN:
                return
            self._state = RunState.CLOSED
        self._watch.stop()
        try:
            try:
                self._keep_sums()
            finally:
                self.governor.ledger.close_run(self.id)
            self._write("run.left", {"pid": os.getpid(), "seconds": self._watch.passed()})
        except GuardrailsError:
            raise
        except Exception as error:  # as in `open`
            raise StateUnavailable(
                f"the end of the run `{self.id}` here cannot be recorded: {error}", run_id=self.id
            ) from error
