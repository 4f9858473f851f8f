"""JSON pointers (RFC 6901) into a call's arguments: ``/args/order/0``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ARGS: Final = "args"
"""The first token of a pointer to an argument."""

_MOST_DIGITS: Final = 6


class NoPointer(ValueError):  # noqa: N818  # named for what the text is, as NotExactJSON
    """A text is no JSON pointer to an argument."""


def below_args(pointer: str) -> tuple[str, ...]:
    """The reference tokens of a pointer to an argument, without the first, which is ``args``.

    Raises:
        NoPointer: it does not lead below ``/args``, or is no JSON pointer.
    """
    root, first, *rest = (*pointer.split("/"), "")
    if root or first != ARGS or len(rest) < 2:  # noqa: PLR2004  # one step below /args, and the sentinel
        raise NoPointer("does not lead below `/args`")
    steps = []
    for token in rest[:-1]:
        if "~" in token.replace("~0", "").replace("~1", ""):
            raise NoPointer("is no JSON pointer")
        steps.append(token.replace("~1", "/").replace("~0", "~"))
    return tuple(steps)


def pointer(steps: Iterable[object]) -> str:
    """The pointer of these reference tokens."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def place(target: Any, step: str) -> Any:
    """Under what `step` stands in an array or object, or None where it does not."""
    if isinstance(target, list):
        is_index = step.isascii() and step.isdigit() and (step == "0" or step[0] != "0")
        if not is_index or len(step) > _MOST_DIGITS or int(step) >= len(target):
            return None
        return int(step)
    if not isinstance(target, str) and hasattr(target, "keys") and step in target:
        return step
    return None
