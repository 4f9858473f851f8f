"""Single keys from a terminal, waited for with a limit.

While :class:`Keys` is entered the terminal gives each key at once and does not show
it; leaving gives the terminal back as it was, also after Ctrl-C, which goes on to
mean what it means.
"""

from __future__ import annotations

import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

try:
    import termios
    import tty
except ImportError:  # no POSIX terminal: answers are scripted
    _CAN_READ = False
else:
    _CAN_READ = True

_LONGEST = 64


def has_keys() -> bool:
    """Whether somebody can press a key here, and see what it does."""
    return _CAN_READ and sys.stdin.isatty() and sys.stdout.isatty()


class Keys:
    """The keys of a terminal; for the one on standard input ask :func:`has_keys` first.

    Args:
        terminal: Its file descriptor.
    """

    def __init__(self, terminal: int = 0) -> None:
        self._file = terminal
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            # What was pressed and not read must not reach the shell.
            termios.tcsetattr(self._file, termios.TCSAFLUSH, self._before)
            self._before = None

    def forget(self) -> None:
        """Drop what was pressed before anybody asked."""
        termios.tcflush(self._file, termios.TCIFLUSH)

    def read(self, seconds: float) -> str | None:
        """The key that is pressed within `seconds`, in lower case, or None.

        An arrow or a function key is several bytes, with letters among them: it is no key
        here, and neither is text that somebody pastes.
        """
        ready, _, _ = select.select([self._file], [], [], max(0.0, seconds))
        if not ready:
            return None
        pressed = os.read(self._file, _LONGEST)
        if not pressed:  # the terminal is gone; it would be ready for ever
            time.sleep(max(0.0, seconds))
            return None
        return chr(pressed[0]).lower() if len(pressed) == 1 else None
