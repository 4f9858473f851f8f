"""Usages as the providers' interfaces and clients report them, with what they cost by hand."""

from __future__ import annotations

from typing import NamedTuple


class Recorded(NamedTuple):
    """One report.

    Attributes:
        name: What it is.
        model: The model's name as the response gives it.
        usage: The report.
        tokens: All its tokens.
        micro_usd: Its price: the sum, written out.
        words: What else is said to `usage_of`.
    """

    name: str
    model: str
    usage: dict
    tokens: int
    micro_usd: int
    words: dict = {}  # noqa: RUF012  # never changed


RECORDED = [
    Recorded(
        "OpenAI chat, half of the input from the cache",
        "gpt-4o-2024-08-06",
        {
            "prompt_tokens": 2_006,
            "completion_tokens": 300,
            "total_tokens": 2_306,
            "prompt_tokens_details": {"cached_tokens": 1_920, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        2_306,
        5_615,  # 86 × 2.5 + 1,920 × 1.25 + 300 × 10
    ),
    Recorded(
        "OpenAI chat without details",
        "gpt-4o",
        {"prompt_tokens": 13, "completion_tokens": 7, "total_tokens": 20},
        20,
        103,  # 13 × 2.5 + 7 × 10 = 102.5, rounded up
    ),
    Recorded(
        "OpenAI responses, with reasoning",
        "gpt-5",
        {
            "input_tokens": 1_000,
            "input_tokens_details": {"cached_tokens": 600},
            "output_tokens": 500,
            "output_tokens_details": {"reasoning_tokens": 448},
            "total_tokens": 1_500,
        },
        1_500,
        5_575,  # 400 × 1.25 + 600 × 0.125 + 500 × 10
    ),
    Recorded(
        "OpenAI, service tier flex",
        "o3",
        {"prompt_tokens": 1_000, "completion_tokens": 1_000, "total_tokens": 2_000},
        2_000,
        5_000,  # 1,000 × 1 + 1,000 × 4
        {"tier": "flex"},
    ),
    Recorded(
        "OpenAI, service tier priority",
        "o3",
        {"prompt_tokens": 1_000, "completion_tokens": 1_000, "total_tokens": 2_000},
        2_000,
        17_500,  # 1,000 × 3.5 + 1,000 × 14
        {"tier": "priority"},
    ),
    Recorded(
        "Anthropic, with both caches",
        "claude-sonnet-4-20250514",
        {
            "input_tokens": 504,
            "cache_creation_input_tokens": 123,
            "cache_read_input_tokens": 2_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 123, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 97,
            "service_tier": "standard",
        },
        2_724,
        4_029,  # 504 × 3 + 123 × 3.75 + 2,000 × 0.3 + 97 × 15 = 4,028.25
    ),
    Recorded(
        "Anthropic, written to the cache for an hour",
        "claude-sonnet-4-20250514",
        {
            "input_tokens": 10,
            "cache_creation_input_tokens": 1_000,
            "cache_read_input_tokens": None,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 1_000},
            "output_tokens": 1,
        },
        1_011,
        6_045,  # 10 × 3 + 1,000 × 6 + 15
    ),
    Recorded(
        "Anthropic, a web search",
        "claude-sonnet-4-20250514",
        {
            "input_tokens": 100,
            "output_tokens": 10,
            "server_tool_use": {"web_search_requests": 2},
        },
        110,
        20_450,  # 100 × 3 + 10 × 15 + 2 × 10,000
    ),
    Recorded(
        "Anthropic, from a batch",
        "claude-sonnet-4-5",
        {"input_tokens": 1_000, "output_tokens": 100, "service_tier": "batch"},
        1_100,
        2_250,  # 1,000 × 1.5 + 100 × 7.5
    ),
    Recorded(
        "Anthropic, above 200,000 tokens, cached ones among them",
        "claude-sonnet-4-5",
        {
            "input_tokens": 150_000,
            "cache_read_input_tokens": 60_000,
            "cache_creation_input_tokens": 0,
            "output_tokens": 1_000,
        },
        211_000,
        958_500,  # 150,000 × 6 + 60,000 × 0.6 + 1,000 × 22.5
    ),
    Recorded(
        "Anthropic, fast mode",
        "claude-opus-4-8",
        {"input_tokens": 100, "output_tokens": 10, "speed": "fast"},
        110,
        1_500,  # 100 × 10 + 10 × 50
    ),
    Recorded(
        "LiteLLM for Anthropic: caches within the input",
        "anthropic/claude-sonnet-4-20250514",
        {
            "prompt_tokens": 2_627,
            "completion_tokens": 97,
            "total_tokens": 2_724,
            "prompt_tokens_details": {"cached_tokens": 2_000, "cache_creation_tokens": 123},
            "cache_creation_input_tokens": 123,
            "cache_read_input_tokens": 2_000,
        },
        2_724,
        4_029,  # as Anthropic's own above
    ),
    Recorded(
        "LiteLLM, a prefix that names the provider",
        "azure/gpt-4o",
        {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100},
        1_100,
        3_500,  # 1,000 × 2.5 + 100 × 10
    ),
    Recorded(
        "Gemini, in the OpenAI form, whose thoughts stand in the total alone",
        "gemini-2.5-pro",
        {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_400},
        1_400,
        5_250,  # 1,000 × 1.25 + 400 × 10
    ),
    Recorded(
        "Gemini, above its tier",
        "gemini-2.5-pro",
        {"prompt_tokens": 200_001, "completion_tokens": 100, "total_tokens": 200_101},
        200_101,
        501_503,  # 200,001 × 2.5 + 100 × 15 = 501,502.5
    ),
    Recorded(
        "Gemini, up to its tier",
        "gemini-2.5-pro",
        {"prompt_tokens": 200_000, "completion_tokens": 100, "total_tokens": 200_100},
        200_100,
        251_000,  # 200,000 × 1.25 + 100 × 10
    ),
    Recorded(
        "audio and a cache, which no price tells apart: none of it at the cache's price",
        "gemini-2.5-flash",
        {
            "prompt_tokens": 1_000,
            "completion_tokens": 10,
            "total_tokens": 1_010,
            "prompt_tokens_details": {"cached_tokens": 100, "audio_tokens": 400},
        },
        1_010,
        605,  # 600 × 0.3 + 400 × 1 + 10 × 2.5
    ),
    Recorded("nothing at all", "gpt-4o", {"prompt_tokens": 0, "completion_tokens": 0}, 0, 0),
]
