"""The process that the processes of isolated tools are forked from.

``python -P -m guardrails.enforcement.nursery_process FD``. It has imported guardrails and nothing
of the tools, has one thread, and handles no arguments and no results: it forks, says the new
process's id, and waits for those that it is told have ended. It ends with its agent.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from contextlib import suppress
from typing import Final

from guardrails.enforcement.worker_process import serve

_ENOUGH: Final = 64

UNKNOWN: Final = "unknown"
"""The answer where it is asked about a process that is not its child, as ``nursery`` reads it."""


def main(fd: int) -> None:
    """Fork and wait, as asked, until the agent hangs up."""
    control = socket.socket(fileno=fd)
    control.set_inheritable(False)
    children: set[int] = set()
    while True:
        asked, fds, _, _ = socket.recv_fds(control, _ENOUGH, 1)
        if not asked:
            return
        if asked == b"start":
            pid = _start(control, fds[0])
            children.add(pid)
            answer = str(pid)
        elif (pid := int(asked)) in children:
            children.remove(pid)
            answer = str(_end(pid))
        else:
            answer = UNKNOWN
        control.send(answer.encode())


def _start(control: socket.socket, fd: int) -> int:
    """The id of a new process that serves the connection `fd`."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            control.close()
            serve(fd)
            status = 0
        except BaseException:  # noqa: BLE001  # told on standard error; the agent sees the end
            traceback.print_exc()
        finally:
            # Not by the interpreter's own end, which would wait for threads of the tool.
            os._exit(status)
    # Here, too: the agent may want to end the group as soon as it knows the id.
    with suppress(OSError):
        os.setpgid(pid, pid)
    os.close(fd)
    return pid


def _end(pid: int) -> int:
    """How the process ended that the agent is done with: its status, or minus a signal."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main(int(sys.argv[1]))
