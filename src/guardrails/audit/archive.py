"""What decided at some time, kept by the digest of its content: policies, register, approvers.

::

    <state>/archive/sha256/3f/3fa9…     a file each, its user's alone (0600), written once
    <state>/archive/seen/agents         the digest that was seen last

The record names digests, so a policy that was changed since, or is gone, is still read as it was
when it decided. What is read is compared with its digest: a file that was changed is none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.layout import make_directory
from guardrails.errors import StateUnavailable

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY: Final = "archive"
"""Its name in the state directory."""

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class Archive:
    """Keeps contents by their digests. Processes may share it.

    Args:
        directory: Where; it is made when something is kept.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory

    def put(self, content: bytes) -> str:
        """Keep `content`; its digest, as ``sha256:…``, once it is on the disk.

        Raises:
            StateUnavailable: it cannot be kept.
        """
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        path = self._place(digest)
        try:
            # Of the same length it is the same, or it was changed; reading tells.
            if not (path.exists() and path.stat().st_size == len(content)):
                self._write(path, content)
        except OSError as error:
            raise self._unusable(error) from error
        return digest

    def get(self, digest: str) -> bytes | None:
        """What has this digest; None where it is not here.

        Raises:
            StateUnavailable: it cannot be read, or was changed.
        """
        if not _DIGEST.fullmatch(digest):
            return None
        path = self._place(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise StateUnavailable(f"the archive's file `{path}` is not what was kept there")
        return content

    def get_document(self, digest: str) -> Any:
        """The JSON document that has this digest; None where it is not here.

        Raises:
            StateUnavailable: it cannot be read, or was changed.
        """
        content = self.get(digest)
        return None if content is None else json.loads(content)

    def seen(self, name: str, digest: str) -> str | None:
        """Note what was seen under `name`; what was seen before, None for nothing.

        Raises:
            StateUnavailable: it cannot be noted.
        """
        path = self.path / "seen" / name
        try:
            try:
                before = path.read_text("ascii").strip()
            except FileNotFoundError:
                before = ""
            if before != digest:
                self._write(path, f"{digest}\n".encode("ascii"))
        except (OSError, UnicodeError) as error:
            raise self._unusable(error) from error
        return before if _DIGEST.fullmatch(before) else None

    def _place(self, digest: str) -> Path:
        digits = digest.removeprefix("sha256:")
        return self.path / "sha256" / digits[:2] / digits

    def _write(self, path: Path, content: bytes) -> None:
        make_directory(path.parent)
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(fd)
            made.replace(path)  # whole or not at all
        finally:
            with contextlib.suppress(FileNotFoundError):
                made.unlink()

    def _unusable(self, error: Exception) -> StateUnavailable:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return StateUnavailable(f"the archive `{self.path}` cannot be used: {reason}")


__all__ = ["DIRECTORY", "Archive"]
