"""The process that the processes of isolated tools are forked from.

``python -P -m guardrails.enforcement.nursery_process FD``. It has imported guardrails and nothing
of the tools, has one thread, and handles no arguments and no results: it forks, says the new
process's id, and kills those that it is told to end. It waits for none of them: one that has not
ended yet is asked about again. It ends with its agent.
"""

from __future__ import annotations

import os
import socket
import sys
import traceback
from contextlib import suppress
from typing import Final

from guardrails.enforcement.process_groups import end_group
from guardrails.enforcement.worker_process import serve

_ENOUGH: Final = 64

UNKNOWN: Final = "unknown"
"""The answer where it is asked about a process that is not its child, as ``nursery`` reads it."""

RUNNING: Final = "running"
"""The answer where the process has been killed and has not ended yet, as ``nursery`` reads it."""


def main(fd: int) -> None:
    """Fork and kill, as asked, until the agent hangs up.

    ``start`` is answered by the new process's id; ``end ID`` and ``leave ID`` by how it ended.
    After ``leave`` nobody asks about it again.
    """
    control = socket.socket(fileno=fd)
    control.set_inheritable(False)
    children: set[int] = set()
    left: set[int] = set()
    while True:
        asked, fds, _, _ = socket.recv_fds(control, _ENOUGH, 1)
        if not asked:
            return
        what, _, id = asked.partition(b" ")
        if what == b"start":
            left = {each for each in left if _end(each) is None}
            pid = _start(control, fds[0])
            children.add(pid)
            answer = str(pid)
        elif (pid := int(id)) in children:
            status = _end(pid)
            answer = RUNNING if status is None else str(status)
            if status is not None or what == b"leave":
                children.remove(pid)
            if status is None and what == b"leave":
                left.add(pid)
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


def _end(pid: int) -> int | None:
    """How the process ended that is to end: its status, or minus a signal; None: not yet."""
    end_group(pid)
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    main(int(sys.argv[1]))
