"""What a language model gets to read instead of a result."""

from __future__ import annotations

from guardrails.errors import Refusal


def for_model(error: BaseException) -> str:
    """A short text for the model: what did not run, and what to do next; safe to show.

    It fits the hooks that agent frameworks have for errors of tools. It carries
    nothing of the arguments, the policy or the state but what the model needs.

    Args:
        error: What a governed call raised.

    Raises:
        BaseException: `error` itself, where it is no refusal: a tool's own exception,
            or a kill, which must pass.
    """
    if isinstance(error, Refusal):
        return error.model_message
    raise error
