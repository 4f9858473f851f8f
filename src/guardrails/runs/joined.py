"""A run of another process, in this one: the same id, the same account, the same kills."""

from __future__ import annotations

import os
from typing import Any

from guardrails.errors import GuardrailsError, RunClosed, StateUnavailable
from guardrails.runs.run import Run
from guardrails.runs.run_state import RunState


class JoinedRun(Run):
    """A run that was opened in another process. Leaving it here ends it here alone.

    Args:
        parent: The joined run in which it is.
        nonce: What this opening of it has, and no other of the same id.
        about: What :class:`Run` takes.
    """

    __slots__ = ("nonces",)

    def __init__(self, *, parent: JoinedRun | None, nonce: str, **about: Any) -> None:
        super().__init__(parent=parent, **about)
        self.nonces: tuple[str, ...] = (nonce,) if parent is None else (*parent.nonces, nonce)

    def open(self) -> None:
        """Join its account, and record that.

        Raises:
            RunClosed: it has ended where it was opened.
            StateUnavailable: ledger or record cannot be reached.
        """
        with self._lock:
            if self._state is not RunState.NEW:
                raise RunClosed(f"the run `{self.id}` was joined and left before", run_id=self.id)
            self._state = RunState.CLOSED
        try:
            self.governor.ledger.join_run(self.id, nonces=self.nonces)
            try:
                self._write("run.joined", {"pid": os.getpid()})
            except BaseException:
                self.governor.ledger.leave_run(self.id)
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

    def end_above(self) -> None:
        """Count as left, it and its ancestors: the run below it that was joined is left."""
        self._watch.stop()
        self._state = RunState.CLOSED
        if isinstance(self.parent, JoinedRun):
            self.parent.end_above()

    def _begin(self) -> None:
        self._watch.start()
        self._state = RunState.OPEN

    def close(self) -> None:
        """Leave it: the run goes on, also here for who else has joined it; again, nothing.

        Raises:
            StateUnavailable: ledger or record cannot be reached; it is left all the same.
        """
        with self._lock:
            if self._state is not RunState.OPEN:
                return
            self._state = RunState.CLOSED
        self._watch.stop()
        if isinstance(self.parent, JoinedRun):
            self.parent.end_above()
        try:
            try:
                self._keep_sums()
            finally:
                self.governor.ledger.leave_run(self.id)
            self._write("run.left", {"pid": os.getpid(), "seconds": self._watch.passed()})
        except GuardrailsError:
            raise
        except Exception as error:  # as in `open`
            raise StateUnavailable(
                f"the end of the run `{self.id}` here cannot be recorded: {error}", run_id=self.id
            ) from error
