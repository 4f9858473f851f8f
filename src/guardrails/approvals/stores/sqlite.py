"""Approval requests in SQLite, for the processes of one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.approvals.requests import due
from guardrails.approvals.stores.text import listed_of, request_of, text_of
from guardrails.database import Database
from guardrails.errors import StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from guardrails.approvals.table import Listed
    from guardrails.model.approval import ApprovalRequest, ApprovalState, CallKey

SCHEMA: Final = (
    """
    CREATE TABLE requests (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        call_key TEXT NOT NULL,
        run_id TEXT NOT NULL,
        state TEXT NOT NULL,
        due INTEGER NOT NULL,
        request TEXT NOT NULL
    );
    CREATE INDEX requests_of_a_call ON requests (call_key, number);
    CREATE INDEX requests_in_a_state ON requests (state, number);
    CREATE INDEX requests_by_due ON requests (due);
    CREATE INDEX requests_of_a_run ON requests (run_id, state)
    """,
)
"""The versions of the file; see :class:`guardrails.database.Database`."""

_LISTED: Final = "SELECT id, state, request FROM requests"
_ROWS: Final = "SELECT request, id, call_key, state FROM requests"
_BY_ID: Final = f"{_ROWS} WHERE id = ?"
_NEWEST: Final = f"{_ROWS} WHERE call_key = ? ORDER BY number DESC LIMIT 1"
_REPLACED: Final = "UPDATE requests SET state = ?, due = ?, request = ? WHERE id = ?"
# Not for a row that is there: to say whether it is, SQLite writes a page more. One that somebody
# else has put there since it was not replaced is.
_WRITTEN: Final = (
    "INSERT INTO requests (id, call_key, run_id, state, due, request) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE "
    "SET state = excluded.state, due = excluded.due, request = excluded.request"
)


class SqliteRequests:
    """A table in an SQLite file; implements :class:`guardrails.approvals.table.RequestTable`.

    Nothing is ever deleted. A row that cannot be read refuses: it may be an approval.

    Args:
        path: The file; made where it does not exist.

    Raises:
        StateUnavailable: it cannot be used; also from every method.
    """

    is_shared: Final = True

    def __init__(self, path: str | Path) -> None:
        self._database = Database(path, SCHEMA)

    def transaction(self) -> AbstractContextManager[object]:
        """A context that holds the write lock of the file."""
        return self._database.transaction()

    def get(self, request_id: str) -> ApprovalRequest | None:
        """The request with exactly this id."""
        return self._one(_BY_ID, request_id)

    def newest(self, call_key: CallKey) -> ApprovalRequest | None:
        """The request for this call that was made last."""
        return self._one(_NEWEST, call_key)

    def beginning(self, prefix: str, at_most: int) -> Sequence[str]:
        """The ids that begin with `prefix`, some `at_most` of them."""
        # A range, not LIKE: that knows wildcards and no difference of case.
        query = "SELECT id FROM requests WHERE id >= ? AND id < ? LIMIT ?"
        rows = self._database.rows(query, prefix, prefix + "\U0010ffff", at_most)
        return tuple(row[0] for row in rows)

    def in_state(self, state: ApprovalState | None) -> Sequence[ApprovalRequest]:
        """The requests in a state (None: in any), in the order in which they were made."""
        if state is None:
            return self._all(f"{_ROWS} ORDER BY number")
        return self._all(f"{_ROWS} WHERE state = ? ORDER BY number", state.value)

    def listed(self, state: ApprovalState | None) -> Sequence[Listed]:
        """The same, as far as a list shows them."""
        only = "" if state is None else "WHERE state = ? "
        given = () if state is None else (state.value,)
        rows = self._database.rows(f"{_LISTED} {only}ORDER BY number", *given)
        try:
            return tuple([listed_of(*each) for each in rows])
        except ValueError as error:
            path = self._database.path
            raise StateUnavailable(f"a row of `{path}` cannot be read: {error}") from error

    def due(self, now: int) -> Sequence[ApprovalRequest]:
        """The requests that time has something to do to by `now`, in UTC nanoseconds."""
        return self._all(f"{_ROWS} WHERE due <= ? ORDER BY due", now)

    def open_of_run(self, run_id: str) -> int:
        """How many requests of a run are pending or approved."""
        query = (
            "SELECT COUNT(*) FROM requests WHERE run_id = ? AND state IN ('pending', 'approved')"
        )
        return int(self._database.rows(query, run_id)[0][0])

    def count(self, run_id: str, state: ApprovalState) -> int:
        """How many requests of a run are in a state."""
        query = "SELECT COUNT(*) FROM requests WHERE run_id = ? AND state = ?"
        return int(self._database.rows(query, run_id, state.value)[0][0])

    def last(self, tool: str, agent: str, *, besides: str) -> ApprovalRequest | None:
        """The newest consumed request for a call of this tool by this agent, but one."""
        # The newest first, one by one: who looks is a person, and most often it is near.
        query = (
            f"{_ROWS} WHERE state = 'consumed' AND id <> ? "
            "AND json_extract(request, '$.about') = 'call' "
            "AND json_extract(request, '$.tool') = ? AND json_extract(request, '$.agent') = ? "
            "ORDER BY number DESC LIMIT 1"
        )
        return self._one(query, besides, tool, agent)

    def put(self, request: ApprovalRequest) -> None:
        """Write the request: a new one, or one in the place of that with its id."""
        text, until = text_of(request), due(request)
        state = str(request.state)
        if not self._database.change(_REPLACED, state, until, text, request.id):
            new = (request.id, request.call_key, request.run_id, state, until, text)
            self._database.change(_WRITTEN, *new)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _one(self, query: str, *given: object) -> ApprovalRequest | None:
        rows = self._database.rows(query, *given)
        return self._read(*rows[0], remember=True) if rows else None

    def _all(self, query: str, *given: object) -> Sequence[ApprovalRequest]:
        return tuple([self._read(*row) for row in self._database.rows(query, *given)])

    def _read(self, text: str, *filed: str, remember: bool = False) -> ApprovalRequest:
        try:
            found = request_of(text, remember=remember)
        except ValueError as error:
            path = self._database.path
            raise StateUnavailable(f"a row of `{path}` cannot be read: {error}") from error
        if (found.id, found.call_key, found.state) != filed:
            path = self._database.path
            raise StateUnavailable(f"a row of `{path}` is filed as `{filed[0]}`, and is another's")
        return found
