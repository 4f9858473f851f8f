"""A peer in an environment of its own: a process that is told what to run, and says what it took.

A peer's packages may want other versions than ours, and what it leaves behind in its process must
not slow down the others. So it runs by itself, and its batches are timed there, in the same rounds
as all others: while it runs, everything else waits.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from benchmarks.variant import NotThereError

if TYPE_CHECKING:
    from contextlib import ExitStack

_ROOT: Final = Path(__file__).parents[2]


def peers_python() -> str:
    """The interpreter of the environment that `make bench-peers` sets up.

    Raises:
        NotThereError: it is not set up.
    """
    default = _ROOT / ".tools" / "peers" / "bin" / "python"
    found = os.environ.get("GUARDRAILS_PEERS_PYTHON") or str(default)
    if not Path(found).exists():
        raise NotThereError("the peers' environment is not set up: run `make bench-peers`")
    return found


class Elsewhere:
    """A script that runs in the peers' environment until `stack` is left.

    Args:
        stack: Ends it.
        script: Its file. It answers each line, a JSON document, by one line.
        first: What it is told first.

    Raises:
        NotThereError: the environment is not set up, or the script does not come up.
    """

    def __init__(self, stack: ExitStack, script: Path, first: Any) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # a script of this directory
            [peers_python(), "-W", "ignore", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        stack.callback(self._end)
        self.described = self.ask(first)

    def ask(self, document: Any) -> Any:
        """Its answer.

        Raises:
            NotThereError: it has ended.
        """
        try:
            stdin = cast("IO[str]", self._process.stdin)
            stdin.write(json.dumps(document) + "\n")
            stdin.flush()
            answer = cast("IO[str]", self._process.stdout).readline()
        except OSError:
            answer = ""
        if not answer:
            said = cast("IO[str]", self._process.stderr).read().strip().splitlines()
            raise NotThereError(f"the peer's process has ended: {said[-1] if said else 'silently'}")
        return json.loads(answer)

    def batch(self, passes: int) -> tuple[int, int]:
        """Nanoseconds that so many passes took there, by the wall and of its CPU."""
        wall, cpu = self.ask({"passes": passes})
        return wall, cpu

    def _end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            cast("IO[str]", pipe).close()
        self._process.terminate()
        self._process.wait()
