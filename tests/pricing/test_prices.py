"""What a model's answer costs: every shape of usage, exactly, never too little, never nothing."""

from __future__ import annotations

import dataclasses
import decimal
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pydantic
import pytest
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.pricing.usages import RECORDED

import guardrails as gr
from guardrails import testing
from guardrails.errors import ConfigError, PriceError
from guardrails.pricing import published
from guardrails.pricing.price_list import PriceList
from guardrails.pricing.rates import Rates
from guardrails.pricing.token_counts import token_counts

AT = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp()) * 10**9
PRICES = PriceList()
MODELS = [
    "gpt-4o",
    "gpt-5",
    "o3",
    "claude-sonnet-4-20250514",
    "claude-sonnet-4-5",
    "claude-opus-4-8",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
]
counts = st.integers(0, 400_000)


def as_namespace(value):
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_namespace(item) for key, item in value.items()})
    return value


def as_dataclass(value):
    if not isinstance(value, dict):
        return value
    made = dataclasses.make_dataclass("Usage", list(value))
    return made(**{key: as_dataclass(item) for key, item in value.items()})


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


def as_pydantic(value):
    if not isinstance(value, dict):
        return value
    return Open(**{key: as_pydantic(item) for key, item in value.items()})


FORMS = [as_namespace, as_dataclass, as_pydantic]


# ----------------------------------------------------------------------------- recorded usages


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_a_recorded_usage_costs_what_was_worked_out_by_hand(case):
    found = PRICES.usage_of(case.usage, model=case.model, at_ns=AT, **case.words)
    assert (found.tokens, found.micro_usd) == (case.tokens, case.micro_usd)
    assert found.source == "published"
    assert found.usd == Decimal(case.micro_usd) / 1_000_000


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_an_object_is_read_as_the_mapping_is(case, form):
    words = {"model": case.model, "at_ns": AT, **case.words}
    assert PRICES.usage_of(form(case.usage), **words) == PRICES.usage_of(case.usage, **words)


def test_a_batch_may_be_said_where_the_usage_does_not():
    usage = {"prompt_tokens": 1_000, "completion_tokens": 1_000}
    assert PRICES.usage_of(usage, model="o3", at_ns=AT, batch=True).micro_usd == 5_000
    assert PRICES.usage_of(usage, model="o3", at_ns=AT, tier="batch").micro_usd == 5_000


def test_the_provider_may_be_named():
    usage = {"prompt_tokens": 1_000, "completion_tokens": 0}
    assert PRICES.usage_of(usage, model="gpt-4o", provider="azure").provider == "azure"
    assert PRICES.usage_of(usage, model="gpt-4o", provider="OpenAI").provider == "openai"


# ----------------------------------------------------------------------------- laws


def chat(given_input, output, cached):
    return {
        "prompt_tokens": given_input,
        "completion_tokens": output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def messages(given_input, output, read, written, hour):
    return {
        "input_tokens": given_input,
        "output_tokens": output,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written + hour,
        "cache_creation": {
            "ephemeral_5m_input_tokens": written,
            "ephemeral_1h_input_tokens": hour,
        },
    }


def price(usage, model, **words):
    return PRICES.usage_of(usage, model=model, at_ns=AT, **words).micro_usd


@given(
    st.sampled_from(MODELS), st.tuples(*[counts] * 5), st.integers(0, 4), st.integers(1, 300_000)
)
def test_more_tokens_of_any_kind_never_cost_less(model, tokens, which, more):
    larger = list(tokens)
    larger[which] += more
    assert 0 <= price(messages(*tokens), model) <= price(messages(*larger), model)


@given(st.sampled_from(MODELS), counts, counts, counts)
def test_a_cache_never_makes_it_dearer_and_what_is_used_is_never_free(model, sent, got, cached):
    assume(cached <= sent)
    found = price(chat(sent, got, cached), model)
    assert found <= price(chat(sent, got, 0), model)
    assert (found > 0) is (sent + got > 0)


@given(st.sampled_from(MODELS), counts, counts)
def test_batch_and_flex_never_cost_more(model, sent, got):
    usage = chat(sent, got, 0)
    standard = price(usage, model)
    assert price(usage, model, batch=True) <= standard
    assert price(usage, model, tier="flex") <= standard


@given(st.sampled_from(MODELS), counts, counts, st.integers(1, 28))
def test_the_callers_decimal_context_changes_nothing(model, sent, got, digits):
    usage = chat(sent, got, 0)
    exact = price(usage, model)
    with decimal.localcontext(decimal.Context(prec=digits, rounding=decimal.ROUND_DOWN)):
        assert price(usage, model) == exact


shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.dictionaries(
        st.sampled_from(
            [
                "prompt_tokens",
                "completion_tokens",
                "total_tokens",
                "input_tokens",
                "output_tokens",
                "prompt_tokens_details",
                "input_tokens_details",
                "output_tokens_details",
                "cached_tokens",
                "audio_tokens",
                "reasoning_tokens",
                "cache_creation",
                "cache_creation_input_tokens",
                "cache_read_input_tokens",
                "ephemeral_5m_input_tokens",
                "ephemeral_1h_input_tokens",
            ]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)


@given(shapes, st.sampled_from(FORMS), st.sampled_from(MODELS))
def test_whatever_a_report_holds_it_has_a_price_or_is_refused_alike_in_every_form(
    usage, form, model
):
    try:
        found = PRICES.usage_of(usage, model=model, at_ns=AT)
    except PriceError:
        with pytest.raises(PriceError):
            PRICES.usage_of(form(usage), model=model, at_ns=AT)
        return
    assert found.micro_usd >= 0
    assert found.tokens >= 0
    assert PRICES.usage_of(form(usage), model=model, at_ns=AT) == found


@given(st.tuples(*[counts] * 3))
def test_a_report_that_contradicts_itself_is_read_as_the_larger(tokens):
    sent, got, cached = tokens
    found = token_counts(chat(sent, got, cached))
    assert found.total >= sent + got
    assert found.input >= found.cache_read
    if cached > sent:
        assert found.input == sent + cached


# ----------------------------------------------------------------------------- never silently


@pytest.mark.parametrize(
    ("model", "words", "near"),
    [
        ("gpt-4p", {}, "gpt-4"),
        ("claude-sonet-4-5", {}, "claude-sonnet-4-5"),
        ("gemini-2.5-pr", {"provider": "google"}, "gemini-2.5-pro"),
        ("gpt-4o", {"provider": "nobody"}, "gpt-4o"),
    ],
)
def test_an_unknown_model_is_an_error_that_names_near_ones(model, words, near):
    with pytest.raises(PriceError, match=f"no price for the model `{model}`") as caught:
        PRICES.usage_of({"prompt_tokens": 1}, model=model, **words)
    assert near in caught.value.near
    assert f"`{near}`" in str(caught.value)
    assert "fallback" in str(caught.value)


def test_a_dearer_tier_that_has_no_price_is_refused():
    usage = {"prompt_tokens": 1_000, "completion_tokens": 1_000}
    with pytest.raises(PriceError, match="service_tier `priority` of `gpt-4o-audio-preview`"):
        PRICES.usage_of(usage, model="gpt-4o-audio-preview", tier="priority")
    early = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp()) * 10**9
    with pytest.raises(PriceError, match="at that time"):
        PRICES.usage_of(usage, model="o3", tier="priority", at_ns=early)


def test_a_model_that_is_not_priced_by_tokens_is_refused_and_not_free():
    usage = {"prompt_tokens": 1_000, "completion_tokens": 0}
    with pytest.raises(PriceError, match="no price of tokens"):
        PRICES.usage_of(usage, model="whisper-1")


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        (None, "NoneType is no usage"),
        ({}, "dict is no usage"),
        ("100 tokens", "str is no usage"),
        ({"usage": {"prompt_tokens": 1}}, "pass its `usage`"),
        (SimpleNamespace(usage=SimpleNamespace(input_tokens=1)), "pass its `usage`"),
        ({"prompt_tokens": -1}, "`prompt_tokens` of a usage is a whole number of tokens, not `-1`"),
        ({"prompt_tokens": 1.5}, "not `1.5`"),
        ({"prompt_tokens": True}, "not `True`"),
        ({"input_tokens": "12"}, "not `'12'`"),
        ({"input_tokens": 1, "output_tokens": 10**13}, "`output_tokens`"),
        ({"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": -1}}, "`cached_tokens`"),
    ],
)
def test_what_is_no_usage_is_refused(usage, said):
    with pytest.raises(PriceError) as caught:
        PRICES.usage_of(usage, model="gpt-4o")
    assert said in str(caught.value)


@pytest.mark.parametrize("model", ["", None, 5])
def test_a_model_has_a_name(model):
    with pytest.raises(PriceError, match="model"):
        PRICES.usage_of({"prompt_tokens": 1}, model=model)


# ----------------------------------------------------------------------------- prices of one's own

OWN = PriceList(
    {"Acme-70B": Rates(Decimal("1.1"), Decimal("3.3"), Decimal("0.11"), Decimal("1.4"))},
    fallback=Rates(Decimal(15), Decimal(75)),
)


def test_configured_prices_come_first_and_the_fallback_last():
    usage = {"prompt_tokens": 1_000, "completion_tokens": 10}
    own = OWN.usage_of(usage, model="acme-70b")
    assert (own.source, own.micro_usd) == ("configured", 1_133)
    assert OWN.usage_of(usage, model="gpt-4o").source == "published"
    other = OWN.usage_of(usage, model="nobody-knows")
    assert (other.source, other.micro_usd) == ("fallback", 15_750)


@given(st.tuples(*[counts] * 4), st.tuples(*[st.decimals(0, 1_000, places=7)] * 4))
def test_a_configured_price_is_the_exact_sum_rounded_up(tokens, rates):
    plain, got, read, written = tokens
    micro = Rates(*rates).micro_usd(token_counts(messages(plain, got, read, written, 0)))
    with decimal.localcontext(decimal.Context(prec=60)):
        exact = plain * rates[0] + got * rates[1] + read * rates[2] + written * rates[3]
    assert type(micro) is int
    assert micro - 1 < exact <= micro


@pytest.mark.parametrize("wrong", [Decimal(-1), Decimal("NaN"), 1.5, None])
def test_a_rate_is_an_amount(wrong):
    with pytest.raises(ConfigError, match="input"):
        Rates(wrong, Decimal(1))


# ----------------------------------------------------------------------------- the package


def test_prices_are_those_of_the_installed_package_whatever_others_downloaded():
    published._snapshot.cache_clear()
    set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=True))
    try:
        assert PRICES.usage_of({"prompt_tokens": 1_000}, model="gpt-4o").micro_usd == 2_500
    finally:
        set_custom_snapshot(None)


def test_without_the_extra_it_says_what_to_install_unless_a_price_is_configured(monkeypatch):
    published._snapshot.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "genai_prices"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    usage = {"prompt_tokens": 1_000, "completion_tokens": 0}
    try:
        with pytest.raises(ConfigError, match=r"pip install 'guardrails-opa\[prices\]'"):
            PRICES.usage_of(usage, model="gpt-4o")
        assert OWN.usage_of(usage, model="acme-70b").micro_usd == 1_100
        assert OWN.usage_of(usage, model="gpt-4o").source == "fallback"
    finally:
        published._snapshot.cache_clear()


def test_importing_guardrails_does_not_import_the_package():
    code = "import sys, guardrails\nprint('genai_prices' in sys.modules, 'httpx2' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert done.stdout == "False False\n"


# ----------------------------------------------------------------------------- charging


@gr.governed_tool(resource="model", operation="execute")
def ask(question: str) -> str:
    gr.charge(usage={"prompt_tokens": 13, "completion_tokens": 7}, model="gpt-4o")
    return question


def test_a_run_is_charged_with_the_usage_of_a_model():
    with testing.run() as run:
        run.charge(usage={"prompt_tokens": 13, "completion_tokens": 7}, model="gpt-4o")
        assert (run.spent.micro_usd, run.spent.tokens) == (103, 20)
        gr.charge(usage=SimpleNamespace(prompt_tokens=13, completion_tokens=7), model="gpt-4o")
        assert (run.spent.micro_usd, run.spent.tokens) == (206, 40)
        ask("why")
        assert (run.spent.micro_usd, run.spent.tokens, run.spent.calls) == (309, 60, 1)


def test_what_usage_of_gave_can_be_charged():
    with testing.run() as run:
        found = gr.usage_of({"prompt_tokens": 1_000}, model="gpt-4o")
        run.charge(usage=found)
        assert (run.spent.usd, run.spent.tokens) == (Decimal("0.0025"), 1_000)


def test_a_run_uses_its_governors_prices():
    governor = testing.governor(prices=OWN)
    with governor.run("a") as run:
        assert gr.usage_of({"prompt_tokens": 1_000}, model="acme-70b").micro_usd == 1_100
        run.charge(usage={"prompt_tokens": 1_000}, model="acme-70b")
        assert run.spent.micro_usd == 1_100
    with pytest.raises(PriceError):
        gr.usage_of({"prompt_tokens": 1_000}, model="acme-70b")


@pytest.mark.parametrize("usage", [{"prompt_tokens": 1_000}, {"tokens": 5}])
def test_what_cannot_be_priced_stops_the_run_also_where_the_error_is_swallowed(usage):
    with testing.run() as run:
        with pytest.raises(PriceError):
            gr.charge(usage=usage, model="nobody-knows")
        assert run.spent.micro_usd == 0
        with pytest.raises(gr.StateUnavailable, match="`nobody-knows` could not be priced"):
            ask("why")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"usage": {"prompt_tokens": 1}}, "`model`"),
        ({"model": "gpt-4o"}, "`usage`"),
        ({"tokens": 5, "provider": "openai"}, "`usage`"),
        ({"usage": {"prompt_tokens": 1}, "model": "gpt-4o", "tokens": 5}, "without `usd`"),
        ({}, "nothing is reported"),
    ],
)
def test_one_form_of_a_report_at_a_time(words, said):
    with testing.run() as run, pytest.raises(TypeError, match=said):
        run.charge(**words)
