"""A bar of progress for commands that read a whole record: on a terminal only, and gone after."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from guardrails.cli.console import notices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def bar_of_progress(doing: str) -> Iterator[Callable[[int, int], None] | None]:
    """What is told how much is done, and of how much; None where standard error is no terminal.

    Args:
        doing: What is done, in a word.
    """
    console = notices()
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn(doing), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)
