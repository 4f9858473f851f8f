"""What ``mcp.json`` says is taken as written or refused where it stands; hints loosen nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.adapters.mcp.permissions import place_of, policy_data
from guardrails.adapters.mcp.pins import Pin, load_pins, pins_path, same, save_pins
from guardrails.adapters.mcp.servers_file import Server, ServersFile, filled_in
from guardrails.errors import ConfigError

CRM = {
    "command": "crm",
    "permissions": {"read": ["contacts", "opportunities"], "write": ["tasks"], "delete": []},
}


def load(tmp_path, text):
    path = tmp_path / "mcp.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text), "utf-8")
    return ServersFile.load(path)


def test_permissions_become_policy_data(tmp_path):
    file = load(tmp_path, {"mcpServers": {"salesforce": CRM}})
    assert policy_data(file) == {
        "salesforce": {
            "read": ["salesforce.contacts", "salesforce.opportunities"],
            "write": ["salesforce.tasks"],
            "delete": [],
        }
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no JSON"),
        ('{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}', "`a` stands twice"),
        ('{"mcpServers": {"a": {}}}', "either `command` or `url`"),
        ('{"mcpServers": {"a": {"command": "x", "url": "http://y"}}}', "either `command` or `url`"),
        ('{"mcpServers": {"a": {"command": "x", "type": "http"}}}', "`http` does not go with"),
        ('{"mcpServers": {"a": {"url": "http://y", "type": "sse"}}}', "mcpServers.a.type"),
        ('{"mcpServers": {"a.b": {"command": "x"}}}', "mcpServers.a.b"),
        ('{"mcpServers": {"a__b": {"command": "x"}}}', "mcpServers.a__b"),
        ('{"mcpServers": {"a": {"command": "x"}, "A": {"command": "x"}}}', "too much alike"),
        ('{"mcpServers": {"a": {"command": "x", "permission": {}}}}', "mcpServers.a.permission"),
        ('{"mcpServers": {"a": {"command": "x", "permissions": {"Read": []}}}}', "permissions"),
        ('{"mcpServers": {"a": {"command": "x", "permissions": {"read": "b"}}}}', "permissions"),
        ("[]", "mcp.json"),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(tmp_path, text, says):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    assert says in str(error.value)
    assert "mcp.json" in str(error.value)


def test_what_other_programs_write_to_call_without_asking_has_no_effect(tmp_path):
    servers = {"a": {**CRM, "autoApprove": ["*"], "alwaysAllow": ["list_contacts"]}}
    file = load(tmp_path, {"mcpServers": servers})
    assert "no effect" in file.warnings[0]
    assert policy_data(file)["a"] == policy_data(load(tmp_path, {"mcpServers": {"a": CRM}}))["a"]


def test_a_variable_that_is_not_set_is_an_error_that_names_it():
    assert filled_in("a ${X} b ${env:X}", "here", {"X": "1"}) == "a 1 b 1"
    with pytest.raises(ConfigError, match="here: the variable X is not set"):
        filled_in("${X}", "here", {})


@pytest.mark.parametrize(
    ("name", "hints", "place"),
    [
        ("list_contacts", {"readOnlyHint": True}, ("contacts", "read")),
        ("getContact", {"readOnlyHint": True}, ("contacts", "read")),
        ("list_opportunities", {"readOnlyHint": True}, ("opportunities", "read")),
        ("create_task", {"destructiveHint": False}, ("tasks", "write")),
        ("create_task", {}, ("tasks", "delete")),
        ("create_task", {"readOnlyHint": "true"}, ("tasks", "delete")),
        ("task_of_contact", {"readOnlyHint": True}, ("task_of_contact", "read")),
        ("list_contactless", {"readOnlyHint": True}, ("list_contactless", "read")),
    ],
)
def test_a_tool_counts_as_what_its_name_and_hints_say(name, hints, place):
    assert place_of(Server.model_validate(CRM), name, hints)[:2] == place


HINTS = st.dictionaries(
    st.sampled_from(["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"]),
    st.booleans() | st.text(max_size=4) | st.none(),
)


@given(HINTS)
def test_annotations_never_change_what_a_person_said_of_a_tool(hints):
    server = Server.model_validate(
        {
            "command": "x",
            "permissions": {"write": ["named"]},
            "tools": {"stated": {"operation": "delete", "resource": "leads"}},
        }
    )
    assert place_of(server, "named", hints)[:2] == ("named", "write")
    assert place_of(server, "stated", hints)[:2] == ("leads", "delete")


@given(HINTS)
def test_without_an_honest_read_hint_nothing_is_a_read(hints):
    place = place_of(Server.model_validate(CRM), "list_contacts", hints)
    assert (place.operation == "read") == (hints.get("readOnlyHint") is True)


def test_a_permission_that_names_one_tool_does_not_permit_another_whose_name_holds_it():
    server = Server.model_validate({"command": "x", "permissions": {"write": ["create_task"]}})
    names = ["create_task", "create_task_and_wipe"]
    place = place_of(server, "create_task_and_wipe", {"destructiveHint": False}, names)
    assert place.resource not in server.permissions[place.operation]


def test_a_tool_that_is_named_twice_is_neither():
    server = Server.model_validate(
        {"command": "x", "permissions": {"read": ["sync"], "write": ["sync"]}}
    )
    assert place_of(server, "sync", {"readOnlyHint": True}).operation == "unclear"


def test_another_command_address_or_set_of_names_is_another_launch():
    launches = {
        Server.model_validate(each).launch()
        for each in (
            {"command": "x"},
            {"command": "x", "args": ["--all"]},
            {"command": "x", "cwd": "/srv"},
            {"command": "x", "env": {"KEY": "1"}},
            {"url": "http://y"},
        )
    }
    assert len(launches) == 5
    one, other = ({"command": "x", "env": {"KEY": value}} for value in "12")
    assert Server.model_validate(one).launch() == Server.model_validate(other).launch()


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(st.integers() | st.text(max_size=3) | st.booleans(), st.lists, max_leaves=4),
        max_size=3,
    )
)
def test_pins_are_read_as_they_were_written(tmp_path_factory, definition):
    path = pins_path(tmp_path_factory.mktemp("pins") / "mcp.json")
    save_pins(path, {"crm": Pin("dana", "2026-01-01T00:00:00Z", "sha256:0", {"t": definition})})
    assert load_pins(path)["crm"].tools["t"] == definition


def test_a_number_is_not_a_truth_value_where_definitions_are_compared():
    assert not same({"default": True}, {"default": 1})
    assert same({"default": 1}, {"default": 1.0})


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"version": 2, "servers": {}}', '{"version": 1, "servers": {"a": {}}}']
)
def test_a_file_of_pins_that_is_none_is_an_error(tmp_path, text):
    path = tmp_path / "mcp.lock.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"mcp\.lock\.json"):
        load_pins(path)
