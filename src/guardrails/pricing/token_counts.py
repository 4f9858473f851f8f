"""The tokens that a provider's usage object states, whatever its shape.

============== ============================================= =============================
Shape          Known by                                      Cached tokens are
============== ============================================= =============================
OpenAI chat    ``prompt_tokens``                             within ``prompt_tokens``
LiteLLM        the same, with ``cache_*_input_tokens``       within ``prompt_tokens``
OpenAI         ``input_tokens``                              within ``input_tokens``
responses
Anthropic      ``input_tokens`` and ``cache_*_input_tokens`` besides ``input_tokens``
============== ============================================= =============================

Mappings and objects are read alike. Where a report contradicts itself, the larger reading is
taken: parts that exceed their whole are added to it, and what a total holds beyond input and
output counts as output. So nothing is charged too low.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import PriceError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST: Final = 10**12
"""More tokens than one answer has; beyond it a report is taken for wrong."""


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """The tokens of one answer.

    Attributes:
        input: All that went in, cached or not.
        output: All that came out, reasoning included.
        cache_read: Of the input, what was read from a cache.
        cache_write: Of the input, what was written to a cache.
        cache_write_5m: Of that, for five minutes.
        cache_write_1h: Of that, for an hour.
        input_audio: Of the input, audio.
        output_audio: Of the output, audio.
        reasoning: Of the output, reasoning.
        web_searches: Searches that the provider made; no tokens, but priced.
        batch: Whether the report says that it was a batch.
        fast: Whether the report says that it was the provider's fast mode.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    output_audio: int = 0
    reasoning: int = 0
    web_searches: int = 0
    batch: bool = False
    fast: bool = False

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input + self.output


def token_counts(usage: object) -> TokenCounts:
    """The tokens that `usage` states.

    Args:
        usage: ``response.usage`` of a client, or the same as a mapping.

    Raises:
        PriceError: it is no usage of a known shape, or states no whole numbers.
    """
    if _get(usage, "prompt_tokens") is not None:
        return _openai_chat(usage)
    if _get(usage, "input_tokens") is not None:
        return _messages(usage)
    hint = "; pass its `usage`" if _get(usage, "usage") is not None else ""
    raise PriceError(
        f"this {type(usage).__name__} is no usage that can be read{hint}; known are those of "
        "OpenAI (`prompt_tokens` or `input_tokens`), Anthropic (`input_tokens`) and LiteLLM"
    )


def _openai_chat(usage: object) -> TokenCounts:
    sent, got = _get(usage, "prompt_tokens_details"), _get(usage, "completion_tokens_details")
    by_time = _get(sent, "cache_creation_token_details")
    cache_read = _largest(
        _count(sent, "cached_tokens"),
        _count(usage, "cache_read_input_tokens"),
        _count(usage, "cached_tokens"),
    )
    cache_write = _largest(
        _count(sent, "cache_write_tokens"),
        _count(sent, "cache_creation_tokens"),
        _count(usage, "cache_creation_input_tokens"),
    )
    return _settled(
        usage,
        input=_count(usage, "prompt_tokens") or 0,
        output=_count(usage, "completion_tokens") or 0,
        cache_read=cache_read,
        cache_write=cache_write,
        by_time=by_time,
        input_audio=_count(sent, "audio_tokens") or 0,
        output_audio=_count(got, "audio_tokens") or 0,
        reasoning=_count(got, "reasoning_tokens") or 0,
    )


def _messages(usage: object) -> TokenCounts:
    """OpenAI's responses, and Anthropic's messages, which count cached tokens apart."""
    sent, got = _get(usage, "input_tokens_details"), _get(usage, "output_tokens_details")
    apart_read = _count(usage, "cache_read_input_tokens") or 0
    apart_write = _count(usage, "cache_creation_input_tokens") or 0
    within_read = _count(sent, "cached_tokens") or 0
    within_write = _count(sent, "cache_write_tokens") or 0
    return _settled(
        usage,
        input=(_count(usage, "input_tokens") or 0) + apart_read + apart_write,
        output=_count(usage, "output_tokens") or 0,
        cache_read=apart_read or within_read,
        cache_write=apart_write or within_write,
        by_time=_get(usage, "cache_creation"),
        input_audio=_count(sent, "audio_tokens") or 0,
        output_audio=_count(got, "audio_tokens") or 0,
        reasoning=_largest(_count(got, "reasoning_tokens"), _count(got, "thinking_tokens")),
    )


def _settled(  # noqa: PLR0913  # the counts, each by its name
    usage: object,
    *,
    input: int,
    output: int,
    cache_read: int,
    cache_write: int,
    by_time: object,
    input_audio: int,
    output_audio: int,
    reasoning: int,
) -> TokenCounts:
    """The counts without contradictions, each whole at least as large as its parts."""
    five_minutes = _count(by_time, "ephemeral_5m_input_tokens") or 0
    one_hour = _count(by_time, "ephemeral_1h_input_tokens") or 0
    written = max(cache_write, five_minutes + one_hour)
    if cache_read + written > input:
        input += cache_read + written
    if input_audio > input:
        input += input_audio
    if reasoning > output:
        output += reasoning
    if output_audio > output:
        output += output_audio
    output += max(0, (_count(usage, "total_tokens") or 0) - input - output)
    return TokenCounts(
        input=input,
        output=output,
        cache_read=cache_read,
        cache_write=written,
        cache_write_5m=five_minutes,
        cache_write_1h=one_hour,
        input_audio=input_audio,
        output_audio=output_audio,
        reasoning=reasoning,
        web_searches=_count(_get(usage, "server_tool_use"), "web_search_requests") or 0,
        batch=_get(usage, "service_tier") == "batch",
        fast=_get(usage, "speed") == "fast",
    )


def _get(holder: object, name: str) -> Any:
    if holder is None:
        return None
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def _count(holder: object, name: str) -> int | None:
    value = _get(holder, name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        shown = (
            f"`{value!r}`"[:60] if isinstance(value, int | float | str) else type(value).__name__
        )
        raise PriceError(f"`{name}` of a usage is a whole number of tokens, not {shown}")
    return int(value)


def _largest(*counts: int | None) -> int:
    """The largest of what several names state of one thing."""
    found: Sequence[int] = [count for count in counts if count is not None]
    return max(found, default=0)
