"""Two planners over generated inputs: what they disagree about is found, and shown short."""

from __future__ import annotations

import itertools
import os
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import PolicyLoadError
from guardrails.rego.agreement import compared
from guardrails.rego.agreement_inputs import Vocabulary, documents, smaller
from guardrails.rego.opa_binary import find_opa

RULE = "package guardrails.rules.probe\n\n"
ENTRYPOINT = "guardrails/rules/probe"
DIFFERENT = f'{RULE}deny contains "m" if not startswith(input.args.to, "a")\n'
SAME = (
    f'{RULE}import future.keywords.not\n\ndeny contains "m" if not startswith(input.args.to, "a")\n'
)
SCHEMA = {
    "type": "object",
    "properties": {
        "mode": {"enum": ["a", "b"]},
        "args": {"type": "object"},
        "calls": {"type": "integer"},
        "labels": {"type": "array", "items": {"type": "string"}},
    },
    "additionalProperties": False,
    "required": ["mode", "args", "calls"],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture
def opa() -> str:
    found = find_opa()
    if found is None:
        assert os.environ.get("CI") != "true", "no OPA binary; `make opa` gets one"
        pytest.skip("no OPA binary here")
    return found


def test_a_not_without_its_import_is_a_divergence(opa: str) -> None:
    agreement = compared({"p.rego": DIFFERENT}, [ENTRYPOINT], opa=opa, input_schema=SCHEMA)
    (divergence,) = agreement.divergences
    assert divergence.document == {}
    assert (divergence.opa, divergence.regopy) == ('{"deny":[]}', '{"deny":["m"]}')
    assert (divergence.file, divergence.entrypoint) == ("p.rego", ENTRYPOINT)


def test_with_the_import_all_inputs_agree(opa: str) -> None:
    agreement = compared(
        {"p.rego": SAME}, [ENTRYPOINT], opa=opa, input_schema=SCHEMA, inputs=120, seconds=600
    )
    assert agreement.divergences == ()
    assert agreement.compared == 120


def test_what_is_shown_cannot_be_shorter(opa: str) -> None:
    source = f"""{RULE}deny contains "m" if {{
	input.mode == "a"
	not startswith(input.args.to, "a")
}}
"""
    (divergence,) = compared(
        {"p.rego": source}, [ENTRYPOINT], opa=opa, input_schema=SCHEMA
    ).divergences
    assert divergence.document == {"mode": "a"}


def test_no_time_is_no_comparison(opa: str) -> None:
    agreement = compared({"p.rego": DIFFERENT}, [ENTRYPOINT], opa=opa, seconds=-1)
    assert agreement.compared == 0


def test_what_a_planner_refuses_is_an_error(opa: str) -> None:
    with pytest.raises(PolicyLoadError):
        compared({"p.rego": f"{RULE}a := b\n"}, [ENTRYPOINT], opa=opa)


@given(seed=st.integers(0, 2**32), count=st.integers(0, 12))
def test_inputs_are_made_by_their_seed(seed: int, count: int) -> None:
    made = [list(documents(SCHEMA, Vocabulary(), Random(seed), count)) for _ in range(2)]
    assert made[0] == made[1]
    assert len(made[0]) == count


def test_inputs_are_sound_damaged_and_hold_what_policies_say() -> None:
    words = Vocabulary(("needle",), (4180,), (("args", "amount"),))
    made: list[Any] = list(documents(SCHEMA, words, Random(0), 300))
    objects = [one for one in made if isinstance(one, dict)]
    assert any({"mode", "args", "calls"} <= one.keys() for one in objects)
    assert any("mode" not in one for one in objects)
    assert any(not isinstance(one["args"], dict) for one in objects if "args" in one)
    text = repr(made)
    assert all(each in text for each in ("needle", "4180", "4181", "4179", "'amount'"))


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + _size(inner) for inner in value.values())
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1


@given(JSON)
def test_smaller_is_smaller_and_ends(document: Any) -> None:
    for candidate in itertools.islice(smaller(document), 50):
        assert _size(candidate) < _size(document)


@given(st.dictionaries(st.text(max_size=2), JSON, min_size=1, max_size=3))
def test_every_field_can_be_left_out(document: dict[str, Any]) -> None:
    left = list(smaller(document))
    for key in document:
        assert {name: value for name, value in document.items() if name != key} in left
