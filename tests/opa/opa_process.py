"""A real ``opa run --server`` for tests: on a port and a Unix socket, killed and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

START: Final = 60.0
"""Seconds that the server may take to start, on a busy machine."""


def free_port() -> int:
    """A port of the loopback address on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class OpaProcess:
    """An OPA server that is started, killed and started again at the same two addresses.

    Args:
        opa: The binary.
        folder: Where its log stands, and the files that it is given lie.
        arguments: Options and files, relative to `folder`.
        environment: Variables for it, besides the test's own.
        host: The host of its TCP address.
    """

    def __init__(
        self,
        opa: str,
        folder: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        host: str = "127.0.0.1",
    ) -> None:
        # A socket's path has at most 107 bytes, and pytest's folders are long.
        self._short = tempfile.mkdtemp(prefix="opa-")
        self.socket_path = f"{self._short}/s"
        self.port = free_port()
        self.host = host
        self.folder = folder
        self.log = folder / "opa.log"
        self.environment = {**os.environ, **(environment or {})}
        self.command = [
            opa, "run", "--server", "--skip-version-check", "--log-level", "error",
            "--shutdown-grace-period", "1", "--addr", f"{host}:{self.port}",
            "--addr", f"unix://{self.socket_path}", *arguments,
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def tcp(self) -> str:
        """Its TCP address."""
        return f"http://{self.host}:{self.port}"

    @property
    def unix(self) -> str:
        """Its Unix socket."""
        return f"unix://{self.socket_path}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with contextlib.suppress(FileNotFoundError):
            Path(self.socket_path).unlink()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, stdout=log, stderr=log, env=self.environment
            )
        until = time.monotonic() + START
        while not (self._listens(socket.AF_UNIX) and self._listens(socket.AF_INET)):
            if time.monotonic() > until or self.process.poll() is not None:
                self.kill()
                raise RuntimeError(f"OPA did not start:\n{self.log.read_text('utf-8')[-4000:]}")
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(START)
            self.process = None

    def stop(self) -> None:
        """End it for good."""
        self.kill()
        shutil.rmtree(self._short, ignore_errors=True)

    def _listens(self, family: socket.AddressFamily) -> bool:
        place: Any = self.socket_path if family == socket.AF_UNIX else (self.host, self.port)
        with contextlib.suppress(OSError), socket.socket(family) as probe:
            probe.connect(place)
            return True
        return False


@contextlib.contextmanager
def running(
    opa: str,
    folder: Path,
    modules: Mapping[str, str],
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[OpaProcess]:
    """A server with these modules and arguments, for as long as the context lasts."""
    for name, text in modules.items():
        (folder / name).write_text(text, encoding="utf-8")
    server = OpaProcess(opa, folder, [*arguments, *modules], environment)
    try:
        server.start()
        yield server
    finally:
        server.stop()
