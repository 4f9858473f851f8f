"""What is wrong with the arguments of one call, told to the operator and to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.enforcement.annotations import Mismatch
from guardrails.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable


class Problems:
    """What is wrong with the arguments of one call, for the operator and for the model."""

    __slots__ = ("_for_model", "_found", "_title")

    def __init__(self, title: str) -> None:
        self._title = title
        self._found: list[str] = []
        self._for_model: list[str] = []

    def add(self, text: str, given: str = "") -> None:
        """Note a problem; `given` (the value itself, or a hint) is for the operator alone."""
        self._found.append(text + given)
        self._for_model.append(text)

    def guard(self, path: str, make: Callable[[Any], Any], value: object, *, hidden: bool) -> Any:
        """What `make` gives for `value`, or `value` where it notes a problem.

        Args:
            path: Where the value stands, as ``args.items``.
            make: Checks or makes the argument.
            value: What was given.
            hidden: Policy does not see it, and nobody else may.
        """
        try:
            return make(value)
        except Mismatch as error:
            if hidden:
                # Neither its content, nor what its own validator says of it.
                self.add(f"{path}: it does not fit, got {type(value).__name__}")
                return value
            for below, text, given in error.problems[:_MOST_PROBLEMS]:
                kind = type(given).__name__
                self.add(f"{path}{below}: {text}, got {kind}", shortened(given))
            return value

    def raise_any(self) -> None:
        """Raise if anything is wrong.

        Raises:
            InvalidArguments: something is.
        """
        if self._found:
            raise self.error()

    def error(self) -> InvalidArguments:
        """Everything that is wrong, as the refusal."""
        message = f"the arguments of `{self._title}` do not fit: " + "; ".join(self._found)
        return InvalidArguments(message, problems=self._for_model)


_MOST_PROBLEMS: Final = 10
_LONGEST_VALUE: Final = 40


def shortened(value: object) -> str:
    """A short form of `value` for an error, or nothing where showing it would run foreign code."""
    # Only built-in types are shown: the text of any other is foreign code.
    if type(value) is str:
        cut = value[:_LONGEST_VALUE]
        return f" `{cut!r}{'…' if len(value) > _LONGEST_VALUE else ''}`"
    if type(value) in (bool, float) or (
        type(value) is int and value.bit_length() <= _LONGEST_VALUE * 2
    ):
        return f" `{value!r}`"
    return ""
