"""The section of prices: exact, strict, and what a governor prices with."""

from __future__ import annotations

from decimal import Decimal

import pytest

from guardrails.config import Config
from guardrails.pricing.rates import Rates
from guardrails.register.source import SourceError


@pytest.fixture
def load(tmp_path):
    (tmp_path / "agents.yaml").write_text("bot: {owner: dana@acme.example}\n")

    def loaded(prices):
        (tmp_path / "guardrails.yaml").write_text(f"environment: dev\n{prices}\n")
        return Config.load(tmp_path / "guardrails.yaml").prices

    return loaded


def test_without_the_section_there_are_the_published_ones_alone(load):
    found = load("")
    assert (dict(found.own), found.fallback) == ({}, None)


def test_models_and_a_fallback(load):
    found = load(
        "prices:\n  models:\n    acme/7b:v2: {input: 0.20, output: '0.6000001'}\n"
        "    Acme-70B: {input: 1.1, output: 3, cache_read: 0, cache_write: 1.4}\n"
        "  fallback: {input: 15, output: 75}"
    )
    assert dict(found.own) == {
        "acme/7b:v2": Rates(Decimal("0.20"), Decimal("0.6000001")),
        "acme-70b": Rates(Decimal("1.1"), Decimal(3), Decimal(0), Decimal("1.4")),
    }
    assert found.fallback == Rates(Decimal(15), Decimal(75))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prices: {models: {a: {input: 1}}}", ":2:22: prices.models.a.output: is missing"),
        ("prices: {models: {a: {input: -1, output: 1}}}", "prices.models.a.input: a number that"),
        ("prices: {models: {a: {input: 1, output: 1, cached: 1}}}", "a.cached: unknown key"),
        ("prices: {fallbak: {input: 1, output: 1}}", "(did you mean `fallback`?)"),
        ("prices: {models: [a]}", "prices.models: a mapping is needed"),
    ],
)
def test_a_wrong_price_is_named_with_its_place(load, text, said):
    with pytest.raises(SourceError) as caught:
        load(text)
    assert said in str(caught.value)
