"""Functions that a decorator asks about a call, as ``when=lambda amount: amount > 1000``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.enforcement.call_arguments import Arguments, ReadsArguments


def bind_predicate(
    function: object, parameters: ReadsArguments, *, what: str
) -> Callable[[Arguments], Any]:
    """`function`, which asks for some of a tool's parameters by name, as a function of arguments.

    Args:
        function: As ``lambda amount: amount > 1000``. Hidden parameters may be asked for.
        parameters: The tool's parameters.
        what: Where it was written, as ``budget: cost``.

    Raises:
        ConfigError: it asks for what is no parameter of the tool, or is a coroutine function.
    """
    if not callable(function):
        msg = f"{what}: `{type(function).__name__}` is no function"
        raise ConfigError(msg)
    if inspect.iscoroutinefunction(function):
        msg = f"{what}: an `async def` cannot be asked before a call; give a plain function"
        raise ConfigError(msg)
    try:
        asked = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        msg = (
            f"{what}: its parameters cannot be read; give a lambda that names the tool's parameters"
        )
        raise ConfigError(msg) from None
    available = parameters.names
    positional: list[str] = []
    named: list[str] = []
    everything = False
    for parameter in asked:
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            everything = True
        elif parameter.name not in available or parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            listed = ", ".join(f"`{name}`" for name in available) or "none"
            msg = f"{what}: asks for `{parameter.name}`, which is no parameter; there are {listed}"
            raise ConfigError(msg)
        elif parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            positional.append(parameter.name)
        else:
            named.append(parameter.name)

    def ask(arguments: Arguments) -> Any:
        values = arguments.named
        names = [name for name in values if name not in positional] if everything else named
        return function(
            *(values[name] for name in positional), **{name: values[name] for name in names}
        )

    return ask
