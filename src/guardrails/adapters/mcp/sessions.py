"""One run for each session of a client: opened with its first call, current while one is at work.

Since protocol version 2026-07-28 there are no sessions over HTTP: every request stands alone. There
a session is what one principal does until it has been idle for a while.
"""

from __future__ import annotations

import contextvars
import json
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import uuid4

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import principal_components
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from guardrails.errors import RunKilled, RunStopped, StateUnavailable
from guardrails.runs.context import Frame, enter, leave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mcp.server.auth.provider import AccessToken

    from guardrails.governor import Governor
    from guardrails.model.budget import Budget
    from guardrails.runs.run import Run
    from guardrails.runs.scope import RunScope

_STATE: Final = "guardrails.session"
_MOST: Final = 10_000


class SessionKey(NamedTuple):
    """What tells sessions apart.

    Attributes:
        session: The session's id; of its protocol where that has one.
        identity: Client, issuer and subject of the token, as JSON; empty without a token.
    """

    session: str
    identity: str = ""


def subject_of(token: AccessToken) -> str:
    """On whose behalf a call is made: the token's subject, else the client that it is for."""
    return token.subject or token.client_id


def token_of(request: Any) -> AccessToken | None:
    """The token that the server has verified for this request, if there is one.

    That of the request itself comes first: within a long session tokens are renewed.
    """
    user = None if request is None else request.scope.get("user")
    return user.access_token if isinstance(user, AuthenticatedUser) else get_access_token()


class _Session:
    """A session: its run, and what is at work in it."""

    def __init__(self, run: Run, scope: RunScope, now: float) -> None:
        self.run = run
        self.scope = scope
        self.calls = 0
        self.last = now
        self.is_stopped = False


class Sessions:
    """The runs of a server's sessions.

    Args:
        governor: Opens runs.
        agent: The agent that the clients are, as the register names it.
        budget: The limits of each run; None for the register's.
        labels: Words about each run, for policy.
        mode: ``shadow`` to withhold what is no read.
        wait: Seconds that a call waits for an approval; None: not at all.
        run_id: The id of the first run, which goes on under it after a crash.
        principal: On whose behalf a token's holder works.
        idle: Seconds without a call after which a session has ended, where its protocol does not
            say when.
        at_most: How many sessions there may be at once; further ones are refused.
    """

    def __init__(  # noqa: PLR0913  # the words of a run, each by its name
        self,
        governor: Governor,
        agent: str,
        *,
        budget: Budget | None = None,
        labels: tuple[str, ...] = (),
        mode: str | None = None,
        wait: float | None = None,
        run_id: str | None = None,
        principal: Callable[[AccessToken], str] = subject_of,
        idle: float = 1_800.0,
        at_most: int = _MOST,
    ) -> None:
        self.governor = governor
        self._opening = {"budget": budget, "labels": labels, "mode": mode, "wait": wait}
        self._agent = agent
        self._run_id = run_id
        self._principal = principal
        self._idle = idle
        self._at_most = at_most
        self._sessions: dict[SessionKey, _Session] = {}
        self._lock = threading.Lock()

    @contextmanager
    def entered(self, ctx: Any) -> Iterator[Run]:
        """The run of the session that a request belongs to, current inside.

        A kill that comes out of it goes no further: it becomes ``RunStopped``, and ends the run,
        unless it was one tool that was killed.

        Args:
            ctx: The request's context: of the SDK, or of FastMCP.

        Raises:
            RunStopped: the run was killed; the next one begins once the kill is lifted.
            CallDenied: the agent has no budget here.
            StateUnavailable: there are too many sessions, or the run cannot be opened.
        """
        session = self._session(ctx)
        token = enter(Frame(session.run))
        try:
            yield session.run
        except BaseException as error:
            if any(isinstance(each, RunKilled) for each in _leaves(error)):
                if self._is_killed(session.run):
                    with self._lock:
                        session.is_stopped = True
                    _close(session, error)
                raise _stopped(session.run) from error
            raise
        finally:
            leave(token)
            with self._lock:
                session.calls -= 1
                session.last = self.governor.clock.monotonic()

    def close(self) -> None:
        """End every run."""
        with self._lock:
            sessions = list(self._sessions.values())
            self._sessions.clear()
        for session in sessions:
            _close(session)

    def end(self, key: SessionKey) -> None:
        """End the run of one session, if it has one."""
        with self._lock:
            session = self._sessions.pop(key, None)
        if session is not None:
            _close(session)

    def __len__(self) -> int:
        return len(self._sessions)

    # ------------------------------------------------------------------------------- inside

    def _session(self, ctx: Any) -> _Session:
        access = token_of(ctx.request)
        key = self._key(ctx, access)
        now = self.governor.clock.monotonic()
        idle: list[_Session] = []
        try:
            with self._lock:
                idle = self._take_idle(now)
                session = self._sessions.get(key)
                if session is not None and session.is_stopped:
                    if self._is_killed(session.run):
                        raise _stopped(session.run)
                    session = None  # what had been killed with others may begin anew
                if session is None:
                    session = self._sessions[key] = self._opened(access, now)
                session.calls += 1
                return session
        finally:
            for each in idle:
                _close(each)

    def _key(self, ctx: Any, access: AccessToken | None) -> SessionKey:
        identity = "" if access is None else json.dumps(principal_components(access))
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            # A pipe has one client; over HTTP nothing but the token says whose request it is.
            return SessionKey("" if ctx.request is None else "http", identity)
        connection = ctx.session._connection  # noqa: SLF001  # where the SDK has state and end of a session
        if _STATE not in connection.state:
            connection.state[_STATE] = connection.session_id or str(uuid4())
        key = SessionKey(connection.state[_STATE], identity)
        if key not in self._sessions:
            connection.exit_stack.callback(self.end, key)
        return key

    def _take_idle(self, now: float) -> list[_Session]:
        idle = [
            key
            for key, each in self._sessions.items()
            if not each.calls and now - each.last >= self._idle
        ]
        return [self._sessions.pop(key) for key in idle]

    def _opened(self, access: AccessToken | None, now: float) -> _Session:
        if len(self._sessions) >= self._at_most:
            raise StateUnavailable(
                f"there are {self._at_most} sessions already; this one must wait"
            )
        principal = None if access is None else self._principal(access)
        run_id, self._run_id = self._run_id, None

        def opened() -> _Session:
            scope = self.governor.run(
                self._agent,
                principal=principal,
                id=run_id,
                **self._opening,  # type: ignore[arg-type]  # as they came
            )
            return _Session(scope.__enter__(), scope, now)

        # In a context of its own: the run belongs to the session, not to the request that opens it.
        return contextvars.Context().run(opened)

    def _is_killed(self, run: Run) -> bool:
        return self.governor.kill_switch.find(run.subject) is not None


def _close(session: _Session, error: BaseException | None = None) -> None:
    with suppress(RunStopped):  # said by whoever has ended it
        session.scope.__exit__(None if error is None else type(error), error, None)


def _stopped(run: Run) -> RunStopped:
    return RunStopped(
        f"the run `{run.id}` of `{run.agent.id}` was stopped", run_id=run.id, agent=run.agent.id
    )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
