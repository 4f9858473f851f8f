"""Secret keys in files: 32 random bytes, made at first use, their user's alone."""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING, Final

from guardrails.errors import StateUnavailable

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES: Final = 32
"""How long a key is."""


def key_in(path: Path, what: str) -> bytes:
    """The key in the file at `path`, which is made where it does not exist.

    Args:
        path: The file.
        what: Whose key it is, as ``run tokens``, for errors.

    Raises:
        StateUnavailable: others may read it, or it is no key.
        OSError: it cannot be read or made.
    """
    nofollow = getattr(os, "O_NOFOLLOW", 0)
    try:
        fd = os.open(path, os.O_RDONLY | nofollow)
    except FileNotFoundError:
        _make(path)
        fd = os.open(path, os.O_RDONLY | nofollow)
    with open(fd, "rb") as file:  # noqa: PTH123  # of a descriptor
        found = os.fstat(fd)
        key = file.read(KEY_BYTES + 1)
    if os.name == "posix" and (found.st_mode & 0o077 or found.st_uid != os.geteuid()):
        raise StateUnavailable(
            f"the key of {what}, `{path}`, belongs to, or may be read by, another user; it has "
            "to be this process's user's alone: remove it, and a new one is made"
        )
    if not stat.S_ISREG(found.st_mode) or len(key) != KEY_BYTES:
        raise StateUnavailable(f"the key of {what}, `{path}`, is not {KEY_BYTES} bytes; remove it")
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(fd, "wb") as file:  # noqa: PTH123  # of a descriptor
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(fd)
        # A link appears whole; of two processes that make a key the first one wins.
        path.hardlink_to(made)
    except FileExistsError:
        return
    finally:
        made.unlink()
