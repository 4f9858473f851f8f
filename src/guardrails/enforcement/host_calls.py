"""A tool call that an agent host makes: governed once, and its end raised whatever the host did.

Hosts call tools in their own ways: through validators, in threads, with handlers that turn
exceptions into texts for the model. :func:`host_call` stands around all of that. What the governed
call below it refused, or a kill, leaves it as it was raised, also where the host swallowed it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from guardrails.audit.log import log_refusal
from guardrails.enforcement.lost_context import outside_of_every_run
from guardrails.errors import Refusal
from guardrails.runs.context import HostCall, current_frame, enter, leave

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.enforcement.call import Call
    from guardrails.runs.run import Run

_LONGEST_ID: Final = 128


class CallCaught(BaseException):  # no error: it carries a call out of a host's code
    """The governed call that a host was about to make, where it is only asked about.

    Attributes:
        call: That call: its tool, its arguments as the host gave them, its run.
    """

    def __init__(self, call: Call) -> None:
        super().__init__("the call is not made: it is only asked whether people must approve it")
        self.call = call


@contextlib.contextmanager
def host_call(tool: str, id: str | None, *, asks: bool = False) -> Iterator[HostCall]:
    """A context in which the next governed call is the one that a host makes of `tool`.

    Args:
        tool: The tool's name, for the refusal where there is no run.
        id: The host's id of the call; policy reads it as ``input.call.id``. One that is longer
            than 128 characters or not printable is left out.
        asks: Nothing is to run: the governed call raises :class:`CallCaught` in place of that.

    Raises:
        Refusal: the governed call did not run.
        RunKilled: the run was killed, before or while the host was at work.
    """
    frame = current_frame()
    if frame is None:
        lost = outside_of_every_run(tool)
        log_refusal(lost)
        raise lost
    host = HostCall(id if _is_id(id) else None, asks=asks)
    token = enter(frame._replace(host=host))
    try:
        yield host
    except Exception as error:
        _raise_kill(frame.run, tool)
        if host.refusal is not None and error is not host.refusal:
            raise host.refusal from error
        raise
    finally:
        leave(token)
    _raise_kill(frame.run, tool)
    if host.refusal is not None:
        raise host.refusal


def of_host(call: Call, host: HostCall) -> None:
    """Note on `call` which call of a host it is.

    Raises:
        CallCaught: the host only asks about it.
    """
    call.host = host
    host.refusal = None  # a host may have tried before
    if host.asks:
        raise CallCaught(call)


def _is_id(id: str | None) -> bool:
    return type(id) is str and 1 <= len(id) <= _LONGEST_ID and id.isprintable()


def _raise_kill(run: Run, tool: str) -> None:
    # Where the kill switch is out of reach: what ran counts, and the next call is refused.
    with contextlib.suppress(Refusal):
        run.check_kill(tool)


__all__ = ["CallCaught", "host_call", "of_host"]
