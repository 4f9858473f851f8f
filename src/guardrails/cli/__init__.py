"""The command line: ``guardrails``, also as ``guardrails-opa``.

Nothing is imported until it is needed: a command's module only when the command
runs, typer and rich only when there is one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    app: typer.Typer

_EXTRA = frozenset({"typer", "rich"})


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    try:
        app = _app()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(
            f"guardrails: the command line needs {error.name}: pip install 'guardrails-opa[cli]'\n"
        )
        sys.exit(2)
    app()


def _app() -> typer.Typer:
    from guardrails.cli.root import app  # noqa: PLC0415  # it needs typer, which may be absent

    return app


def __getattr__(name: str) -> object:
    if name == "app":
        return _app()
    raise AttributeError(name)
