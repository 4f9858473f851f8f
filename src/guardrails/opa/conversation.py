"""A request and its answer, step by step; led by a thread or by a coroutine.

What is said, and in which order, stands in :func:`converse` alone. The two that lead it only
wait, and only until the deadline: it holds for everything together, looking the host up,
connecting, TLS, writing, reading, and a second try.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from guardrails.opa.connection import Pause, Readable, Resolve, Writable, connect
from guardrails.opa.exchange import Response
from guardrails.opa.outcome import NoAnswer, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.opa.address import Address
    from guardrails.opa.connection import Connection, Step, Steps
    from guardrails.opa.exchange import Reply
    from guardrails.opa.pool import Pool

    T = TypeVar("T")


class _StaleError(Exception):
    """A kept connection was closed before any byte of an answer."""


def converse(  # noqa: PLR0913  # what a conversation needs, each by its name
    request: bytes,
    *,
    address: Address,
    context: Callable[[], ssl.SSLContext | None],
    pool: Pool,
    limit: int,
    retried: Callable[[], object],
) -> Steps[Reply]:
    """The whole response to `request`.

    A kept connection may have been closed by the other side. If that shows before the first byte
    of an answer, the request is sent once more, on a new connection. Nothing else is tried twice.

    Args:
        request: Its bytes.
        address: Whom to ask.
        context: Gives the TLS context for a new connection.
        pool: Where connections are taken from and given back to.
        limit: The most bytes that the answer's body may have.
        retried: Called when a request is sent once more.

    Raises:
        NoAnswer: there is none.
    """
    kept = pool.take()
    if kept is not None:
        try:
            return (yield from _exchange(kept, request, pool, limit))
        except _StaleError:
            retried()
    fresh = yield from connect(address, context())
    try:
        return (yield from _exchange(fresh, request, pool, limit))
    except _StaleError:
        raise NoAnswer(Trouble.CLOSED, "the server closed the connection unanswered") from None


def _exchange(connection: Connection, request: bytes, pool: Pool, limit: int) -> Steps[Reply]:
    reply = None
    try:
        reply = yield from _answer(connection, request, Response(limit))
        return reply
    finally:
        # Whatever ends an exchange early, a cancellation too, leaves an answer under way: the
        # connection is never used again.
        if reply is not None and reply.keeps_alive:
            pool.give_back(connection)
        else:
            connection.close()


def _answer(connection: Connection, request: bytes, response: Response) -> Steps[Reply]:
    try:
        yield from connection.send(request)
        while True:
            data = yield from connection.receive()
            if not data:
                break
            reply = response.feed(data)
            if reply is not None:
                return reply
    except ssl.SSLEOFError:
        pass  # the end, without a farewell
    except ssl.SSLError as error:
        raise NoAnswer(Trouble.TLS, type(error).__name__) from None
    except OSError as error:
        if response.has_begun:
            why = error.strerror or type(error).__name__
            raise NoAnswer(Trouble.CLOSED, f"in the midst of the answer: {why}") from None
    if response.has_begun:
        raise NoAnswer(Trouble.CLOSED, "the answer is truncated")
    raise _StaleError


def lead(steps: Steps[T], seconds: float) -> T:
    """What `steps` give, waited for by this thread.

    Args:
        steps: A conversation.
        seconds: How long it may take.

    Raises:
        NoAnswer: it gives nothing, or the time is over.
    """
    ends = time.monotonic() + seconds
    result: Any = None
    with contextlib.closing(steps):
        while True:
            try:
                step = steps.send(result)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]  # a generator's value has no type
            left = ends - time.monotonic()
            result = _wait(step, left) if left > 0 else None
            if result is None:
                raise _late(seconds)


async def lead_async(steps: Steps[T], seconds: float) -> T:
    """The same, waited for by a coroutine, which holds up no other.

    Args:
        steps: A conversation.
        seconds: How long it may take.

    Raises:
        NoAnswer: it gives nothing, or the time is over.
    """
    loop = asyncio.get_running_loop()
    if type(loop).add_reader is asyncio.AbstractEventLoop.add_reader:
        # A loop that cannot watch sockets (Windows' proactor): a thread waits instead.
        return await asyncio.to_thread(lead, steps, seconds)
    result: Any = None
    with contextlib.closing(steps):
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        step = steps.send(result)
                    except StopIteration as done:
                        return done.value  # type: ignore[no-any-return]  # as above
                    result = await _wait_async(loop, step)
        except TimeoutError:
            raise _late(seconds) from None


def _late(seconds: float) -> NoAnswer:
    return NoAnswer(Trouble.DEADLINE, f"no answer within {seconds * 1000:.0f} ms")


def _wait(step: Step, seconds: float) -> Any:
    """What the step comes to within `seconds`; None if they pass first."""
    match step:
        case Readable(waiting):
            return _is_ready(waiting, seconds, write=False) or None
        case Writable(waiting):
            return _is_ready(waiting, seconds, write=True) or None
        case Pause(pause):
            time.sleep(min(pause, seconds))
            return True
        case Resolve(host, port):
            return _resolved(host, port, seconds)


if hasattr(select, "poll"):

    def _is_ready(waiting: socket.socket, seconds: float, *, write: bool) -> bool:
        poll = select.poll()
        poll.register(waiting, select.POLLOUT if write else select.POLLIN)
        return bool(poll.poll(seconds * 1000))

else:  # pragma: no cover  # Windows

    def _is_ready(waiting: socket.socket, seconds: float, *, write: bool) -> bool:
        one = [waiting]
        return any(select.select([] if write else one, one if write else [], one, seconds))


def _resolved(host: str, port: int, seconds: float) -> Any:
    """The host's addresses or the error, None if `seconds` pass first.

    The system's look-up takes no deadline: a thread of its own may go on waiting for it.
    """
    found: list[Any] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(_unknown(error))

    thread = threading.Thread(target=look_up, name="guardrails-resolve", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None


def _unknown(error: OSError | UnicodeError) -> OSError:
    """Why a host is not known; a name that cannot be one comes as another error."""
    return error if isinstance(error, OSError) else OSError(None, "it is no host's name")


async def _wait_async(loop: asyncio.AbstractEventLoop, step: Step) -> Any:
    match step:
        case Readable(waiting):
            await _ready(loop, waiting, write=False)
        case Writable(waiting):
            await _ready(loop, waiting, write=True)
        case Pause(pause):
            await asyncio.sleep(pause)
        case Resolve(host, port):
            try:
                return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                return _unknown(error)
    return True


async def _ready(loop: asyncio.AbstractEventLoop, waiting: socket.socket, *, write: bool) -> None:
    done = loop.create_future()
    watch, forget = (
        (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    )
    watch(waiting, _wake, done)
    try:
        await done
    finally:
        forget(waiting)


def _wake(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
