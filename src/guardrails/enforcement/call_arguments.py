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

    Each may raise ``InvalidArguments``; :class:`guardrails.enforcement.arguments.Parameters`
    says of each when.
    """

    hidden: tuple[str, ...]
    skip_first: bool

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102  # as `Parameters` says; so are all below

    def read(  # noqa: D102
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limits: Limits = ...
    ) -> Arguments: ...

    def read_named(self, values: Mapping[str, Any], limits: Limits = ...) -> Arguments: ...  # noqa: D102

    def read_stored(  # noqa: D102
        self, document: Mapping[str, Any], hidden: Mapping[str, Any], limits: Limits = ...
    ) -> Arguments: ...

    def rewrite(self, arguments: Arguments, changes: Mapping[str, Any]) -> Arguments: ...  # noqa: D102

    def document_of(self, arguments: Arguments) -> dict[str, Any]: ...  # noqa: D102

    def with_options(  # noqa: D102
        self,
        *,
        hide: Iterable[str] | None = None,
        validate: bool | None = None,
        skip_first: bool | None = None,
    ) -> Self: ...
