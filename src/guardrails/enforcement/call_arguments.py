"""The arguments of one call, once they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

from guardrails.model.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Arguments:
    """The arguments of one call.

    Attributes:
        args: What the function is called with by position; the instance of a method comes first.
        kwargs: What it is called with by name.
        named: Every argument by its parameter's name, defaults and hidden ones included, as the
            function gets it.
        document: The same as exact JSON, hidden ones left out: what policy sees.
        limits: How large they may be, also after a rewrite.
        can_change: Whether one that policy sees is no plain value, so that somebody may change
            it in place between the decision and the call.
    """

    __slots__ = ("args", "can_change", "document", "kwargs", "limits", "named")

    def __init__(  # noqa: PLR0913, PLR0917  # its attributes
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        named: Mapping[str, Any],
        document: dict[str, Any],
        limits: Limits = DEFAULT_LIMITS,
        can_change: bool = True,  # noqa: FBT001, FBT002  # as above
    ) -> None:
        self.limits = limits
        self.can_change = can_change
        self.args = args
        self.kwargs = kwargs
        self.named = named
        self.document = document


class ReadsArguments(Protocol):
    """How the arguments of one tool are read: by a signature, or by a JSON schema.

    :class:`guardrails.enforcement.arguments.Parameters` says what each raises.
    """

    hidden: tuple[str, ...]
    skip_first: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The arguments' names in their order."""
        ...

    def read(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limits: Limits = ...
    ) -> Arguments:
        """The arguments of one call."""
        ...

    def read_named(
        self, values: Mapping[str, Any], limits: Limits = ..., *, as_json: bool = ...
    ) -> Arguments:
        """The arguments of a call that is only to be decided."""
        ...

    def read_stored(
        self, document: Mapping[str, Any], hidden: Mapping[str, Any], limits: Limits = ...
    ) -> Arguments:
        """The arguments of a call of which only the document was kept."""
        ...

    def rewrite(self, arguments: Arguments, changes: Mapping[str, Any]) -> Arguments:
        """The arguments with some of them replaced."""
        ...

    def document_of(self, arguments: Arguments) -> dict[str, Any]:
        """The document made anew from what would be called now."""
        ...

    def with_options(
        self,
        *,
        hide: Iterable[str] | None = None,
        validate: bool | None = None,
        skip_first: bool | None = None,
    ) -> Self:
        """The same with other options."""
        ...
