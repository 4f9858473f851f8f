"""What interceptor, middleware and proxy share: which governed tool a call is, and its way."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import anyio.to_thread

from guardrails.adapters.mcp.asking import can_ask, elicited, input_required, is_modern
from guardrails.adapters.mcp.refusals import refusal_in
from guardrails.enforcement.definition import checked_name
from guardrails.enforcement.described_tools import described_tool
from guardrails.enforcement.json_form import NoJsonForm, to_document
from guardrails.errors import ApprovalPending, ConfigError, Refusal, RunKilled
from guardrails.model.canonical import canonical
from guardrails.model.decision import Effect
from guardrails.runs.context import Frame, enter, leave

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from guardrails.adapters.mcp.sessions import Sessions
    from guardrails.model.decision import Decision
    from guardrails.model.facts import ToolFacts
    from guardrails.runs.run import Run

T = TypeVar("T")

HIDING_RULES: Final = frozenset({"guardrails", "access", "environments", "mcp"})
"""Rules of the library whose denial does not depend on arguments: a tool that one of them denies
may never be called, and is not listed."""

ANSWERED_BY_THE_SERVER: Final = frozenset(
    {"initialize", "server/discover", "ping", "tools/list", "tools/call"}
    | {"logging/setLevel", "subscriptions/listen"}
)
"""Requests that a governed server answers; of the others nobody decides, so they are refused."""

OTHERS: Final = {
    "resources": frozenset(
        {"resources/list", "resources/read", "resources/templates/list"}
        | {"resources/subscribe", "resources/unsubscribe"}
    ),
    "prompts": frozenset({"prompts/list", "prompts/get"}),
    "completions": frozenset({"completion/complete"}),
}
"""What else a server may have, by the word that lets it pass undecided."""


class Governs(NamedTuple):
    """What policy is told of one tool of a server.

    Attributes:
        resource: What it works on; None for the tool's name.
        operation: What it does to it.
        labels: Words for policy.
    """

    resource: str | None = None
    operation: str = "execute"
    labels: tuple[str, ...] = ()


class Gate:
    """The way of a call on one server.

    Args:
        sessions: The runs.
        tools: What policy is told of the tools, by name; of others, that they `execute`
            themselves.
        server: The server's name, which begins the names of its tools for policy; empty: none.
        passes: What besides tools passes undecided: ``resources``, ``prompts``, ``completions``.
        hiding: The rules by whose denial a tool is not listed.
        link: Where people answer approval requests, with ``{id}``.

    Raises:
        ConfigError: a word of `passes`, or `server`, is none.
    """

    def __init__(  # noqa: PLR0913  # each by its name
        self,
        sessions: Sessions,
        *,
        tools: Mapping[str, Governs] | None = None,
        server: str = "",
        passes: Iterable[str] = (),
        hiding: Iterable[str] = HIDING_RULES,
        link: str = "",
    ) -> None:
        self.sessions = sessions
        self._tools = dict(tools or {})
        self._prefix = f"{checked_name(server, what='server')}." if server else ""
        self._hiding = frozenset(hiding)
        self.link = link
        words = (passes,) if isinstance(passes, str) else tuple(passes)
        for word in words:
            if word not in OTHERS:
                there = ", ".join(f"`{each}`" for each in OTHERS)
                raise ConfigError(f"passes: `{word}` is nothing that may pass; there are {there}")
        self._methods = ANSWERED_BY_THE_SERVER.union(*(OTHERS[word] for word in words))
        # By the schema's text: where it changes, the tool is another.
        self._made = lru_cache(maxsize=4_096)(self._make)

    def is_answered(self, method: str) -> bool:
        """Whether requests of this method reach the server."""
        return method in self._methods or method.startswith("notifications/")

    def tool(self, name: str, schema: Mapping[str, Any]) -> Callable[..., Awaitable[Any]]:
        """The governed function of a tool with this name and this schema of its arguments.

        Raises:
            ConfigError: no tool can be called so, or the schema cannot be used.
        """
        return self._made(name, _Keyed(canonical_text(schema), schema))

    def _make(
        self, name: str, schema: _Keyed, facts: ToolFacts | None = None
    ) -> Callable[..., Awaitable[Any]]:
        told = self._tools.get(name, Governs())
        if facts is not None:
            return described_tool(
                facts.name,
                schema.schema,
                resource=facts.resource,
                operation=facts.operation,
                labels=facts.labels,
            )
        return described_tool(
            f"{self._prefix}{name}",
            schema.schema,
            resource=told.resource,
            operation=told.operation,
            labels=told.labels,
        )

    async def answer(
        self, ctx: Any, call: Callable[[], Awaitable[T]], *, is_retry: bool
    ) -> T | Refusal | Any:
        """What `call` gives, made in the run of the request's session.

        Args:
            ctx: The request's context.
            call: Makes the governed call.
            is_retry: Whether the client has been told already that the call waits.

        Returns:
            What `call` gives; the refusal, for the caller to put into words; or the
            ``InputRequiredResult`` that the client is answered with.
        """
        try:
            with self.sessions.entered(ctx):
                try:
                    return await _refusing(call)
                except ApprovalPending as pending:
                    if is_retry or not can_ask(ctx, self.link):
                        raise
                    if is_modern(ctx):
                        return input_required(ctx, pending, self.link)
                    if not await elicited(ctx, pending, self.link):
                        raise
                return await _refusing(call)
        except Refusal as refusal:
            return refusal

    async def listed(self, ctx: Any, known: Mapping[str, ToolFacts | None]) -> frozenset[str]:
        """Those of these tools that the request's session may call, as far as that can be known.

        Args:
            ctx: The request's context.
            known: The tools by name, with their facts where their own decorators state them.

        Raises:
            Refusal: the session has no run, or nothing can be decided.
        """
        functions = {
            name: self._made(name, _ANYTHING, facts)
            for name, facts in known.items()
            if is_name(name)
        }
        with self.sessions.entered(ctx) as run:
            return await anyio.to_thread.run_sync(self._may_be_called, run, functions)

    def _may_be_called(
        self, run: Run, functions: Mapping[str, Callable[..., Awaitable[Any]]]
    ) -> frozenset[str]:
        token = enter(Frame(run))
        try:
            return frozenset(
                name for name, function in functions.items() if self.is_shown(run, function)
            )
        finally:
            leave(token)

    def is_shown(self, run: Run, function: Callable[..., Awaitable[Any]]) -> bool:
        """Whether a tool is listed; `function` is one that takes no arguments, or any."""
        try:
            decision: Decision = self.sessions.governor.decide(function, {}, run)
        except RunKilled:
            return False
        except Refusal:
            return True  # as that the budget is used up: no reason to forget that there is a tool
        denied = decision.effect is Effect.DENY
        return not (denied and any(reason.rule in self._hiding for reason in decision.reasons))


class _Keyed:
    """A schema that is told from others by its canonical text."""

    __slots__ = ("schema", "text")

    def __init__(self, text: bytes, schema: Mapping[str, Any]) -> None:
        self.text = text
        self.schema = schema

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


_ANYTHING: Final = _Keyed(b"", {"type": "object", "additionalProperties": True})


def canonical_text(value: Mapping[str, Any]) -> bytes:
    """The one text of a description, by which it is compared.

    Raises:
        ConfigError: it has none, or is too large.
    """
    try:
        return canonical(to_document(dict(value), path="description"))
    except NoJsonForm as error:
        raise ConfigError(f"a tool's description cannot be used: {error}") from None


def is_name(name: str) -> bool:
    """Whether a tool may be called so: as MCP recommends, and nothing that hides or misleads."""
    try:
        checked_name(name, what="tool")
    except ConfigError:
        return False
    return True


async def _refusing(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` gives; a refusal that a host has wrapped in an error comes out as itself."""
    try:
        return await call()
    except Refusal:
        raise
    except Exception as error:
        refusal = refusal_in(error)
        if refusal is None:
            raise
        raise refusal from error
