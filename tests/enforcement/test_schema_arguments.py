"""What a schema describes is governed as what a signature describes; a schema can do no harm."""

import asyncio
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import guardrails as gr
from guardrails.enforcement import dry_run
from guardrails.enforcement.described_tools import described_tool
from guardrails.enforcement.schema_arguments import SchemaArguments
from guardrails.errors import ConfigError, InvalidArguments

REFUND = {
    "type": "object",
    "properties": {
        "order-id": {"type": "string", "pattern": "^A-[0-9]+$"},
        "amount": {"type": "number"},
        "note": {"type": "string", "default": "none"},
    },
    "required": ["order-id", "amount"],
}


def read(schema, **arguments):
    return SchemaArguments("refund", schema).read((), arguments)


def test_policy_sees_the_very_values_that_are_passed_on_defaults_included():
    arguments = read(REFUND, **{"order-id": "A-1", "amount": 0.1})
    assert arguments.document == {"order-id": "A-1", "amount": Decimal("0.1"), "note": "none"}
    assert arguments.kwargs == {"order-id": "A-1", "amount": 0.1, "note": "none"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"amount": 1}, "missing `order-id`"),
        ({"order-id": "A-1", "amount": "5000"}, "args.amount: it does not fit `type: number`"),
        ({"order-id": "A-1", "amount": True}, "args.amount"),
        ({"order-id": "A-1", "amount": None}, "args.amount"),
        ({"order-id": "A-1", "amount": float("nan")}, "args.amount"),
        ({"order-id": "B", "amount": 1}, "order-id: it does not fit `pattern"),
        ({"order-id": "A-1", "amount": 1, "Amount": 9}, "there is no argument `Amount`"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_model_reads_where(arguments, says):
    with pytest.raises(InvalidArguments) as refusal:
        read(REFUND, **arguments)
    assert says in refusal.value.model_message


def test_a_value_never_stands_in_what_the_model_or_the_log_reads():
    with pytest.raises(InvalidArguments) as refusal:
        read(REFUND, **{"order-id": "hunter2", "amount": "hunter2"})
    assert "hunter2" not in refusal.value.model_message + str(refusal.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("ab", max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner),
        max_leaves=8,
    )
)
def test_nothing_is_shared_with_the_caller(value):
    arguments = read({"type": "object", "properties": {"it": {}}}, it=value)
    assert arguments.kwargs["it"] == value
    if isinstance(value, list | dict) and value:
        value.clear()
        assert arguments.kwargs["it"] != value


def test_a_schema_cannot_fetch_hang_or_recurse(monkeypatch):
    def fetched(*_):
        raise AssertionError("something was fetched")

    monkeypatch.setattr("urllib.request.urlopen", fetched)
    doubling = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
    doubling["d40"] = {}
    harmful = [
        {"properties": {"it": {"$ref": "http://127.0.0.1:1/evil.json"}}},
        {"$ref": "#"},
        {"properties": {"it": {"$ref": "#/$defs/d0"}}, "$defs": doubling},
    ]
    began = time.monotonic()
    for schema in harmful:
        with pytest.raises(InvalidArguments, match="cannot be checked"):
            read(schema, it="x")
    read({"properties": {"it": {"pattern": "^(a+)+$"}}, "type": "object"}, it="a" * 500)
    with pytest.raises(InvalidArguments):
        read({"properties": {"it": {"pattern": "^(a+)+$"}}, "type": "object"}, it="a" * 5000 + "!")
    assert (
        time.monotonic() - began < 60
    )  # not for ever; as it was, it took longer than the universe


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array"},
        {"type": "object", "properties": 7},
        {"type": "object", "properties": {"it": {"type": "text"}}},
        {"type": "object", "description": "x" * 300_000},
    ],
)
def test_what_is_no_schema_of_an_object_is_refused_where_the_tool_is_made(schema):
    with pytest.raises(ConfigError, match="refund"):
        SchemaArguments("refund", schema)


def test_a_described_tool_is_decided_and_then_made_by_what_was_given_with_it():
    tool = described_tool("shop.refund", REFUND, resource="shop.orders", operation="write")
    seen = []

    async def forward(arguments):
        seen.append(arguments)
        return "done"

    async def main():
        with gr.testing.run():
            return await tool(forward, **{"order-id": "A-1", "amount": 3, "note": "self"})

    with gr.testing.run():
        facts = gr.tool_of(tool).facts
    assert asyncio.run(main()) == "done"
    assert seen == [{"order-id": "A-1", "amount": 3, "note": "self"}]
    assert (facts.name, facts.resource, facts.operation) == ("shop.refund", "shop.orders", "write")


def test_a_described_tool_outside_of_every_run_is_refused():
    tool = described_tool("shop.refund", REFUND)

    async def forward(_):
        raise AssertionError("it was called")

    with pytest.raises(gr.NoActiveRun):
        asyncio.run(tool(forward, amount=1))


@pytest.mark.parametrize("as_json", [False, True])
def test_a_described_tool_is_decided_without_being_called(as_json):
    tool: Any = gr.tool_of(described_tool("shop.refund", REFUND))
    with gr.testing.run() as run:
        found = dry_run.examine(tool, {"order-id": "A-1", "amount": 3}, run, as_json=as_json)
    assert found.decision.effect is gr.Effect.ALLOW
