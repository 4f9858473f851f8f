"""The last good bundle on disk, so that a start does not need the service.

It lies where OPA puts it, ``<directory>/bundles/<name>/bundle.tar.gz``, readable by its owner
alone. A file is replaced as a whole or not at all; what is read is verified as if it had just
been downloaded.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guardrails.errors import PolicyLoadError
from guardrails.rego.archive import read_bytes

if TYPE_CHECKING:
    from guardrails.rego.archive import ArchiveLimits

FILE: Final = "bundle.tar.gz"
DEFAULT_DIRECTORY: Final = Path(".opa")
"""Where OPA keeps what it keeps, unless its configuration says otherwise."""


class BundleStore:
    """Bundles on disk, by name.

    Args:
        directory: OPA's ``persistence_directory``.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, name: str) -> Path:
        """Where the bundle `name` lies.

        Raises:
            PolicyLoadError: The name would lead elsewhere.
        """
        parts = name.split("/")
        if not name or any(part in ("", ".", "..") for part in parts) or "\0" in name:
            msg = f"the name `{name}` cannot be a directory's; such a bundle is not kept"
            raise PolicyLoadError(msg)
        return self.directory / "bundles" / name / FILE

    def read(self, name: str, limits: ArchiveLimits) -> bytes | None:
        """What was kept; None where nothing was.

        Raises:
            PolicyLoadError: It cannot be read.
        """
        path = self.path(name)
        return read_bytes(path, limits) if path.is_file() else None

    def write(self, name: str, content: bytes) -> None:
        """Keep `content` in place of what was kept.

        Raises:
            PolicyLoadError: It cannot be written; what was there is still there.
        """
        path = self.path(name)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A name of its own, readable by its owner alone: other processes may keep the same.
            descriptor, made = tempfile.mkstemp(prefix=".bundle-", dir=path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(made).replace(path)
            except BaseException:
                Path(made).unlink(missing_ok=True)
                raise
            _sync_directory(path.parent)
        except OSError as error:
            msg = f"cannot be kept: {error.strerror or error}"
            raise PolicyLoadError(msg, file=str(path)) from error


def _sync_directory(path: Path) -> None:
    """Makes the new name itself safe from a power cut, where the platform can do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
