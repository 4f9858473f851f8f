"""The section `breakers`: what holds without it, and that it is wrong where it is written."""

from __future__ import annotations

import re

import pytest

import guardrails as gr
from guardrails.config import FILE_NAME, Config
from guardrails.config import breakers as section
from guardrails.model.breakers import DEFAULT_BREAKERS, Breaker, Breakers
from guardrails.register.source import SourceError


def load(project, text):
    (project / "agents.yaml").write_text("bot: {owner: dana@acme.example, budget: {dev: {usd: 1}}}")
    (project / FILE_NAME).write_text(f"environment: dev\nrecord: null\n{text}")
    return Config.load(project / FILE_NAME)


def test_without_the_section_the_defaults_hold_and_they_are_what_its_page_says(tmp_path):
    assert load(tmp_path, "").breakers == DEFAULT_BREAKERS == Breakers()
    assert load(tmp_path, "breakers: {}").breakers == DEFAULT_BREAKERS
    (written,) = re.findall(r"::\n\n((?:    .*\n)+)", section.__doc__ or "")
    shown = written.replace(", ignore: [poll_job]", "")
    assert load(tmp_path, re.sub("^    ", "", shown, flags=re.MULTILINE)).breakers == Breakers()


def test_all_of_it_can_be_said_and_turned_off(tmp_path):
    its = load(
        tmp_path,
        "breakers:\n"
        "  repeat: {warn: 3, ask: 5, stop: 9, of: 50, ignore: [poll]}\n"
        "  cycle: null\n"
        "  tool_cycle: {stop: 4, of: 3}\n"
        "  errors: {ask: 10, of: 10}\n"
        '  spend: {warn: 1, stop: "2.50"}\n'
        "  approvers: [ops, finance]\n"
        "  expires_in: 1h\n",
    ).breakers
    assert its == Breakers(
        repeat=Breaker(3, 5, 9, 50, frozenset({"poll"})),
        cycle=Breaker(of=8),
        tool_cycle=Breaker(stop=4, of=3),
        errors=Breaker(ask=10, of=10),
        spend=Breaker(warn=1_000_000, stop=2_500_000),
        approvers=("ops", "finance"),
        expires_in=3600,
    )
    assert not its.cycle.is_on
    assert not Breakers().spend.is_on
    assert load(tmp_path, "breakers: null").breakers is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("breakers: {repeats: {stop: 3}}", "5:12: breakers.repeats: unknown key (did you mean"),
        ("breakers:\n  repeat: {stop: 1}", "6:18: breakers.repeat.stop:"),
        ("breakers:\n  repeat: {}", "at least one of `warn`, `ask` and `stop`"),
        ("breakers:\n  repeat: {warn: 9, stop: 3}", "`warn` is below `stop`"),
        ("breakers:\n  repeat: {ask: 3, stop: 3}", "`ask` is below `stop`"),
        ("breakers:\n  repeat: {stop: 30, of: 20}", "cannot be reached among the last 20"),
        ("breakers:\n  errors: {stop: 101}", "breakers.errors.stop:"),
        ("breakers:\n  spend: {stop: -1}", "breakers.spend.stop:"),
        ("breakers:\n  spend: {stop: 1, of: 3}", "breakers.spend.of: unknown key"),
        ("breakers:\n  approvers: []", "breakers.approvers: at least one"),
        ("breakers: 3", "a mapping with the keys"),
    ],
)
def test_it_is_wrong_where_it_is_written(tmp_path, text, said):
    text = "modes: [enforce]\nlibrary: true\n" + text
    with pytest.raises(SourceError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)


def test_a_loaded_governor_has_them(tmp_path):
    load(tmp_path, "breakers: {repeat: {stop: 7}}")
    its = gr.load_governor(tmp_path / FILE_NAME)
    assert its.breakers is not None
    assert its.breakers.repeat == Breaker(stop=7, of=1000)
