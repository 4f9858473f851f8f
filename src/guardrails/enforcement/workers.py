"""Tools in a process of their own, so that a kill ends their body and not just its result.

Each call has a new process (see ``nursery``), which leads a group of its own and runs this one
call: what it handled cannot reach another call. Arguments and result cross as their JSON forms,
read back by the annotations. When a kill, a cancellation or an interrupt comes, and when the call
is over, the process and its whole group get SIGKILL.
"""

from __future__ import annotations

import asyncio
import builtins
import importlib
import inspect
import os
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from guardrails.enforcement import tracing
from guardrails.enforcement.annotations import ANY, Check, Mismatch, resolve
from guardrails.enforcement.json_form import NoJsonForm, to_document
from guardrails.enforcement.parameter import scope_of
from guardrails.enforcement.process_groups import end_group
from guardrails.enforcement.worker_messages import Garbled, receive, send
from guardrails.errors import ConfigError, ToolProcessError
from guardrails.model.budget import Charge
from guardrails.model.canonical import NotExactJSON, canonical
from guardrails.model.limits import Limits
from guardrails.runs.run_token import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.enforcement.call import Call
    from guardrails.enforcement.definition import Tool
    from guardrails.model.kill import Kill

RESULT_LIMITS: Final = Limits(depth=64, nodes=1_000_000, text=16 << 20)
"""How large a result may be."""

_LARGEST_CHARGE: Final = 10**18


def checked(tool: Tool, isolation: str | None) -> str | None:
    """`isolation`, if `tool` can run so.

    Raises:
        ConfigError: it cannot, or there is no such isolation.
    """
    if isolation is None:
        return None
    if isolation != "process":
        msg = f'governed_tool: isolation {isolation!r} is not known; there is "process"'
        raise ConfigError(msg)
    problem = _problem(tool)
    if problem is not None:
        msg = f'`{tool}` cannot have isolation="process": {problem}'
        raise ConfigError(msg)
    return isolation


def _problem(tool: Tool) -> str | None:
    function = tool.function
    if not hasattr(os, "killpg"):
        return "this system has no process groups"
    if not inspect.isfunction(function):
        return "it is no plain function"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "it is a generator, whose items come one by one"
    if tool.parameters.skip_first:
        return "it is a method, and its instance cannot cross; make it a function or static method"
    if "<" in function.__qualname__:
        return "it is a lambda or made inside a function, where no other process finds it"
    if function.__module__ == "__main__":
        return (
            "it stands in the script that was started, which its process would start again; put "
            "it in a module that the script imports"
        )
    if tool.parameters.hidden:
        return f"`{tool.parameters.hidden[0]}` is hidden, and what is no data cannot cross"
    signature = inspect.signature(function)
    for name, parameter in signature.parameters.items():
        if parameter.annotation is inspect.Parameter.empty:
            return (
                f"`{name}` needs an annotation, by which its value is made again on the other side"
            )
    if signature.return_annotation is inspect.Signature.empty:
        return "its result needs an annotation, as `-> None`"
    return None


def located(module: str, name: str) -> Any:
    """What stands under the qualified `name` in `module`.

    Raises:
        ImportError: there is no such module.
        AttributeError: there is nothing of that name.
    """
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = (
            inspect.getattr_static(found, part) if inspect.isclass(found) else getattr(found, part)
        )
    return found


def run(call: Call) -> Any:
    """What the body of a plain function gives, run in a process of its own.

    Raises:
        RunKilled: a kill came; the process is gone.
        ToolProcessError: it ended without an answer, or raised what is no built-in exception.
    """
    worker = _Worker(call)
    try:
        subjects = call.run.subjects(call.tool.facts.name)
        with call.run.governor.in_flight.watch(subjects, worker.kill):
            return worker.result()
    finally:
        worker.end()


async def run_async(call: Call) -> Any:
    """The same of a coroutine function; a cancellation ends the process, and so does a kill."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Any] = loop.create_future()
    awaited = _Awaited(call)

    def answer(how: Callable[[Any], None], what: Any) -> None:
        if not answered.done():
            how(what)

    def listen() -> None:
        try:
            value = awaited.result()
        except BaseException as error:  # noqa: BLE001  # raised where it is awaited
            _tell(loop, answer, answered.set_exception, error)
        else:
            _tell(loop, answer, answered.set_result, value)

    # A thread a process: a pool's would be used up by as many calls as it has.
    threading.Thread(target=listen, name=f"isolated {call.tool.facts.name}", daemon=True).start()
    try:
        return await answered
    finally:
        awaited.abandon()


class _Awaited:
    """A process that one thread starts and listens to, for a task that may stop waiting for it."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._abandoned = False
        self._worker: _Worker | None = None

    def result(self) -> Any:
        """What the body gives."""
        worker = _Worker(self._call)
        try:
            with self._lock:
                self._worker = worker
                if self._abandoned:
                    worker.kill()
            return worker.result()
        finally:
            worker.end()

    def abandon(self) -> None:
        """End the process, also one that has yet to start."""
        with self._lock:
            self._abandoned = True
            if self._worker is not None:
                self._worker.kill()


def _tell(loop: asyncio.AbstractEventLoop, *what: Any) -> None:
    with suppress(RuntimeError):  # the loop is closed, and nobody waits
        loop.call_soon_threadsafe(*what)


class _Worker:
    """The process of one call, from this side."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._lock = threading.RLock()
        self._ended = False
        self._status: int | None = None
        self._kill: Kill | None = None
        function = call.tool.function
        self._asked = {
            "module": function.__module__,
            "name": function.__qualname__,
            "run": call.run.id,
            "agent": call.run.agent.id,
            "key": call.idempotency_key,
            "arguments": call.arguments.document,
            "directory": os.getcwd(),  # noqa: PTH109  # a text
            "environment": {**_environment(), **tracing.carrier(call)},
            "path": sys.path,
        }
        self._check = _found(call.tool)
        self._nursery = call.run.governor.nursery
        self._connection, other = socket.socketpair()
        with other:
            try:
                self._pid = self._nursery.start(other)
            except BaseException:
                self._connection.close()
                raise

    def kill(self, kill: Kill | None = None) -> None:
        """End it at once, with all that it has started; from any thread, any number of times."""
        with self._lock:
            if kill is not None and self._kill is None:
                self._kill = kill
            # Until the nursery is told of its end, no other process can have its number.
            if not self._ended:
                end_group(self._pid)
                # What it forked away has the line, too, and would keep this side listening.
                with suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Let nothing of it remain: no process, no descriptor; again, it does nothing."""
        self.kill()
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._connection.close()
        self._status = self._nursery.end(self._pid)

    def result(self) -> Any:
        """What the body gives. Charges are passed on as they come."""
        try:
            with suppress(ConnectionError):  # it is gone already: the answer below says so
                send(self._connection, self._asked)
            answer = self._answer()
            self._raise_if_killed()
            if answer is not None and "returned" in answer:
                return self._value(answer["returned"])
            error = None if answer is None else _raised(self._call.tool, answer["raised"])
        except (Garbled, Mismatch, NoJsonForm, NotExactJSON) as problem:
            self._raise_if_killed()
            raise self._failed(f"its answer cannot be used: {problem}") from None
        if error is not None:
            raise error
        self.end()
        status = self._status
        ended = "" if status is None else f" with status {status}"
        if status is not None and status < 0:
            ended = f" by signal {-status}"
        raise self._failed(f"it ended{ended} without an answer")

    def _answer(self) -> dict[str, Any] | None:
        call = self._call
        while (message := receive(self._connection)) is not None:
            match message:
                case {"charged": charged} if len(message) == 1:
                    charge = _charge(charged)
                    if call.hold is not None:
                        call.run.charge_call(call.hold, charge)
                case {"returned": _} | {"raised": _} if len(message) == 1:
                    return message
                case _:
                    raise Garbled("it is none of those that are known")
        return None

    def _value(self, document: Any) -> Any:
        value = self._check.from_json(document)
        if not same(document, value):
            raise Garbled("by its annotation the result reads as something else")
        return value

    def _raise_if_killed(self) -> None:
        if self._kill is not None:
            raise self._call.run.killed_by(self._kill, self._call.tool.facts.name)

    def _failed(self, what: str) -> ToolProcessError:
        return ToolProcessError(f"the process of `{self._call.tool.facts.name}` failed: {what}")


def _environment() -> dict[str, str]:
    """This process's; what could join the run is not in it, nor what is no text."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != VARIABLE and _is_text(name + value)
    }


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _found(tool: Tool) -> Check:
    """How the result is read, once it is sure that another process finds the tool."""
    from guardrails.enforcement.tools import tool_of  # noqa: PLC0415  # which needs this module

    function = tool.function
    try:
        there = tool_of(located(function.__module__, function.__qualname__))
    except (ImportError, AttributeError):
        there = None
    if there is None or there.function is not function:
        msg = (
            f'`{tool}` cannot have isolation="process": its module holds something else under '
            "that name, and its process would run that"
        )
        raise ConfigError(msg)
    annotation = inspect.signature(function).return_annotation
    try:
        annotation = resolve(annotation, scope_of(function))
    except NameError as error:
        msg = f"`{tool}`: the annotation of its result: {error}"
        raise ConfigError(msg) from None
    return Check(Any if annotation is ANY else annotation)


def same(document: Any, value: object) -> bool:
    """Whether `value`, which was read from `document`, says what that says.

    By some annotations it would not: bytes inside of a list are read as their base64 text.
    """
    return canonical(to_document(value, limits=RESULT_LIMITS)) == canonical(document)


def _charge(said: Any) -> Charge:
    if type(said) is not dict or said.keys() != {"micro_usd", "tokens"}:
        raise Garbled("a charge names dollars and tokens")
    for amount in said.values():
        if amount is not None and not (type(amount) is int and 0 <= amount <= _LARGEST_CHARGE):
            raise Garbled("a charge is no amount")
    return Charge(said["micro_usd"], said["tokens"])


def _raised(tool: Tool, said: Any) -> Exception:
    """The exception that the body raised: a built-in one as it was, any other in words."""
    keys = {"module", "type", "text"}
    if (
        type(said) is not dict
        or said.keys() != keys
        or any(type(x) is not str for x in said.values())
    ):
        raise Garbled("an error has a type and a text")
    kind = getattr(builtins, said["type"], None) if said["module"] == "builtins" else None
    if isinstance(kind, type) and issubclass(kind, Exception) and kind in _REBUILT:
        return kind(said["text"])
    name = f"{said['module']}.{said['type']}"
    return ToolProcessError(
        f"`{tool.facts.name}` raised {name}: {said['text']}", kind=name, text=said["text"]
    )


_REBUILT: Final = frozenset(
    {
        *(ArithmeticError, AssertionError, AttributeError, BufferError, ConnectionError, EOFError),
        *(Exception, FileExistsError, FileNotFoundError, IndexError, InterruptedError, KeyError),
        *(LookupError, MemoryError, NotImplementedError, OSError, OverflowError, PermissionError),
        *(RecursionError, RuntimeError, TimeoutError, TypeError, ValueError, ZeroDivisionError),
    }
)
"""Built-in exceptions that are whole with their text alone."""
