"""The published schema of guardrails.yaml is current, and never stricter than the loader."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from guardrails.config.file import WRITTEN
from guardrails.config.schema import SCHEMA_FILE, config_schema, schema_text
from guardrails.register.source import SourceError, field_names
from guardrails.register.yaml_source import parse_yaml

SCHEMA = config_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def test_the_published_schema_is_what_the_models_say() -> None:
    assert SCHEMA_FILE.read_text("utf-8") == schema_text(), (
        "write it anew: python -m guardrails.config.schema"
    )
    Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]) == set(field_names(WRITTEN))


def loads(document: Any) -> bool:
    # JSON is YAML; what is read is what a file with this text holds.
    try:
        parse_yaml(json.dumps(document), "guardrails.yaml").validate(WRITTEN)
    except SourceError:
        return False
    return True


VALID: list[dict[str, Any]] = [
    {"environment": "dev"},
    {"environment": "prod", "policies": "policies", "modes": ["enforce"]},
    {"environment": "prod", "policies": ["a", "b"], "library": False, "presets": ["read_only"]},
    {"environment": "prod", "engine": "sidecar", "sidecar": {"url": "unix:///run/opa.sock"}},
    {"environment": "a", "sidecar": {"url": "http://x", "deadline": 0.25, "token_env": "T"}},
    {"environment": "a", "verified": {"share": 0.5, "refusals": True}, "reload": True},
    {"environment": "a", "reload": 0.5, "record": None, "limits": {"depth": 8}},
]
INVALID: list[Any] = [
    [],
    {"environment": 5},
    {"environment": "prod", "enviroment": "prod"},
    {"environment": "prod", "engine": "opa"},
    {"environment": "prod", "sidecar": {"url": "unix:///x", "token": "s3cret"}},
    {"environment": "prod", "sidecar": {"url": "unix:///x", "deadline": 0}},
    {"environment": "prod", "sidecar": {"url": "unix:///x", "deadline": "1s"}},
    {"environment": "prod", "verified": {"share": 2}},
    {"environment": "prod", "reload": 0},
    {"environment": "prod", "reload": "yes"},
    {"environment": "prod", "limits": {"depth": 0}},
    {"environment": "prod", "modes": []},
    {"environment": "prod", "modes": ["observ"]},
]


@pytest.mark.parametrize("document", VALID)
def test_what_is_valid_fits_both(document) -> None:
    assert VALIDATOR.is_valid(document)
    assert loads(document)


@pytest.mark.parametrize("document", INVALID)
def test_what_is_invalid_fits_neither(document) -> None:
    assert not VALIDATOR.is_valid(document)
    assert not loads(document)


KEYS = field_names(WRITTEN)
SOME = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 100),
    st.sampled_from(["", "a", "prod", "verified", "refuse", "in_process", "unix:///x", 0.25, 1.5]),
    st.lists(st.sampled_from(["a", "enforce", "observe", "read_only"]), max_size=3),
    st.dictionaries(
        st.sampled_from(["url", "deadline", "share", "refusals", "depth", "on_unavailable", "x"]),
        st.sampled_from([0, 1, 0.5, True, "a", "unix:///x", None]),
        max_size=3,
    ),
)


@given(st.dictionaries(st.sampled_from([*KEYS, "other"]), SOME, max_size=4))
def test_what_loads_always_fits_the_schema(document) -> None:
    document = {"environment": "prod", **document}
    if loads(document):
        assert list(VALIDATOR.iter_errors(document)) == []
