"""What a scene may do on the screen: print calls, ask for a key, show something grow.

On a terminal it is live; elsewhere the same lines come once, as plain text. All of it
fits 80 columns. What came from an agent, a document or a policy is printed as text,
never as markup, with its control characters escaped.
"""

from __future__ import annotations

import textwrap
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from guardrails.approvals.display import plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from rich.console import RenderableType

    from guardrails.demo.calls import Call
    from guardrails.demo.keys import Keys

WIDTH: Final = 80
"""Columns."""

_COLOURS: Final = {
    "ALLOW": "bold green",
    "ASK": "bold yellow",
    "DENY": "bold red",
    "REFUSED": "bold red",
    "SHADOW": "bold blue",
}
_BAR: Final = 18
_WHAT: Final = 20  # columns for what a call is about
_NOTES: Final = 56  # the column where they begin
_TICK: Final = 0.1


class Answer(NamedTuple):
    """A key, and whether a person pressed it."""

    key: str
    by_hand: bool


class Stage:
    """One screen.

    Args:
        console: Where to print; a quiet one prints nothing.
        keys: The keyboard; None for scripted answers.
        pace: How long pauses are: 1 for people, 0 for tests.
    """

    def __init__(self, console: Console, *, keys: Keys | None = None, pace: float = 1.0) -> None:
        self._console = console
        self._keys = keys
        self._pace = pace
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._has_begun = False

    @property
    def has_keys(self) -> bool:
        """Whether a person can answer."""
        return self._keys is not None

    # ------------------------------------------------------------------------------- lines

    def heading(self, number: int, title: str, words: str) -> None:
        """Begin a scene."""
        if self._has_begun:
            self.pause(1.0)
            self._console.print()
        self._has_begun = True
        line = Text(f" {number}  ")
        line.append(title, "bold cyan")
        line.append(f"  {plain_line(words)}")
        self._console.print(line)
        self.pause(1.0)

    def call(self, call: Call, what: str, note: str = "") -> None:
        """One call on one line: its tool, what it is about, the verdict, the time, why."""
        time_taken = "" if call.nanoseconds is None else duration(call.nanoseconds)
        said = note or ("" if call.ran else call.why)
        notes = textwrap.wrap(plain_line(said), WIDTH - _NOTES) or [""]
        line = Text(f"    {call.tool:<14} {_cut(what):<20} ")
        line.append(f"{call.verdict:<7}", _COLOURS[call.verdict])
        line.append(f"{time_taken:>7}  ").append(notes[0], "dim")
        for further in notes[1:]:
            line.append("\n" + " " * _NOTES).append(further, "dim")
        line.rstrip()
        self._console.print(line)
        self.pause(0.8)

    def line(self, *parts: str | Text) -> None:
        """One line of a scene."""
        self._console.print(Text("    ").append_text(Text.assemble(*parts)), soft_wrap=True)

    def busy(self, words: str) -> AbstractContextManager[object]:
        """Say what people wait for, as long as it takes; nothing where there is no terminal."""
        return self._console.status(Text(words, "dim")) if self._is_live else nullcontext()

    def space(self) -> None:
        """An empty line."""
        self._console.print()

    def pause(self, seconds: float) -> None:
        """Let people read; nobody does where there is no terminal."""
        if self._is_live and self._pace:
            time.sleep(seconds * self._pace)

    # -------------------------------------------------------------------------------- keys

    def ask(self, box: Box, keys: str, *, default: str, seconds: float) -> Answer:
        """Show `box` and give the key of `keys` that is pressed; after `seconds` the default."""
        if self._keys is None:
            self._console.print(box.drawn(None))
            self.pause(2.0)
            return Answer(default, by_hand=False)
        if not self._is_live:
            self._console.print(box.drawn(seconds))
            return self._wait(self._keys, keys, default, seconds, lambda _left: None)
        with self._live(box.drawn(seconds)) as live:
            answer = self._wait(
                self._keys, keys, default, seconds, lambda left: live.update(box.drawn(left))
            )
            live.update(box.drawn(None))
        return answer

    def wait_for(self, key: str, *, seconds: float, scripted: float) -> Answer:
        """`key`, when it is pressed or the time is over.

        Args:
            key: The key.
            seconds: How long a person has.
            scripted: How long it takes where there is none, in seconds.
        """
        if self._keys is None:
            time.sleep(scripted)
            return Answer(key, by_hand=False)
        return self._wait(self._keys, key, key, seconds, lambda _left: None)

    @staticmethod
    def _wait(
        keyboard: Keys, keys: str, default: str, seconds: float, tick: Callable[[float], None]
    ) -> Answer:
        deadline = time.monotonic() + seconds
        keyboard.forget()
        while (left := deadline - time.monotonic()) > 0:
            tick(left)
            pressed = keyboard.read(min(left, _TICK))
            if pressed is not None and pressed in keys:
                return Answer(pressed, by_hand=True)
        return Answer(default, by_hand=False)

    # -------------------------------------------------------------------------------- growth

    def grow(self, draw: Callable[[], RenderableType], is_done: Callable[[], bool]) -> None:
        """Draw again and again until `is_done`; without a terminal once, then."""
        if not self._is_live:
            while not is_done():
                time.sleep(_TICK / 10)
            self._console.print(draw())
            return
        with self._live(draw()) as live:
            while not is_done():
                live.update(draw())
                time.sleep(_TICK / 2)
            live.update(draw())

    def _live(self, first: RenderableType) -> Live:
        return Live(first, console=self._console, refresh_per_second=10)


class Box:
    """A question in a frame.

    Args:
        title: Whom it asks.
        words: What it is about.
        keys: What can be pressed, as ``[a]pprove  [r]eject``.
    """

    def __init__(self, title: str, words: str, keys: str) -> None:
        self._title = title
        self._words = words
        self._keys = keys

    def drawn(self, left: float | None) -> RenderableType:
        """The box, with the seconds that are left."""
        keys = Text(self._keys, "bold")
        if left is not None:
            keys.append(f"  ({left:.0f} s)", "dim")
        panel = Panel(
            Group(Text(self._words), keys),
            title=Text(self._title),
            title_align="left",
            width=WIDTH - 5,
            border_style="yellow",
        )
        return Padding(panel, (0, 0, 0, 4), expand=False)


def bar(part: float) -> Text:
    """A bar of which `part`, from 0 to 1, is filled."""
    filled = round(_BAR * min(max(part, 0.0), 1.0))
    return Text("█" * filled, "green").append("░" * (_BAR - filled), "dim")


def duration(nanoseconds: float) -> str:
    """A time with two or three digits and its unit, as ``6.1 ms``."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            value = nanoseconds / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"  # noqa: PLR2004  # two digits
    return f"{nanoseconds:.0f} ns"


def _cut(words: str) -> str:
    text = plain_line(words)
    return text if len(text) <= _WHAT else f"{text[: _WHAT - 1]}…"


def plain_line(words: str) -> str:
    """`words` on one line, with everything escaped that a terminal could act on but quotes."""
    return plain(words).replace('\\"', '"')
