"""The end of a process that was made the leader of a group, and of those that stayed in it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress


def end_group(leader: int) -> None:
    """Send SIGKILL to the process `leader`, wherever it went, and to the group that it led.

    Its parent must not have waited for it yet: until then nothing else has its number. A process
    that has become another user's cannot be killed, and is left.
    """
    # A process may leave its group, which is gone with the last that was in it.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.kill(leader, signal.SIGKILL)
