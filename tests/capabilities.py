"""Root without its right to look into everything, so that tests of rights hold for root, too."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERSION = 0x20080522
_OVERRIDE = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, of capabilities(7)."""


@contextlib.contextmanager
def without_override() -> Iterator[None]:
    """A context in which the bits of files and directories hold for this thread, whoever it is."""
    if os.geteuid() != 0:
        yield
        return
    if not sys.platform.startswith("linux"):
        pytest.skip("root looks into everything on this system")
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice
    _need(libc.capget(head, sets))
    before = sets[0]
    sets[0] = before & ~_OVERRIDE
    _need(libc.capset(head, sets))
    try:
        yield
    finally:
        sets[0] = before
        _need(libc.capset(head, sets))


def _need(code: int) -> None:
    if code:
        raise OSError(ctypes.get_errno(), "the capabilities of this thread cannot be changed")
