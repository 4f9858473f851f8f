"""A delta bundle changes data as OPA changes them, and nothing else."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.opa.archives import manifest, policy_files

from guardrails.errors import PolicyLoadError
from guardrails.opa.bundles.delta import patched, with_delta
from guardrails.rego.bundle import Bundle
from guardrails.rego.bundle_patch import PatchOperation

KEYS = ["a", "b", "0", "1", "2", "-", "~"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=8,
)
DATA = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3)
OPERATIONS = st.builds(
    PatchOperation,
    st.sampled_from(["upsert", "remove", "replace"]),
    st.lists(st.sampled_from(KEYS), min_size=1, max_size=4).map(tuple),
    VALUES,
)


class CannotError(Exception):
    """The reference cannot do an operation."""


def reference(document: Any, path: tuple[str, ...], op: str, value: Any) -> Any:
    """The document after one operation: recursive and in new values, as `patched` is not."""
    head, rest = path[0], path[1:]
    if isinstance(document, dict):
        if not rest:
            if op != "upsert" and head not in document:
                raise CannotError
            left = {key: item for key, item in document.items() if key != head}
            return left if op == "remove" else {**document, head: value}
        if head not in document and op != "upsert":
            raise CannotError
        return {**document, head: reference(document.get(head, {}), rest, op, value)}
    if isinstance(document, list):
        whole = {str(number): number for number in range(len(document) + 1)}
        at = len(document) if head == "-" and not rest else whole.get(head, -1)
        if at < 0 or (at == len(document) and (rest or op != "upsert")):
            raise CannotError
        if rest:
            inner = reference(document[at], rest, op, value)
            return [*document[:at], inner, *document[at + 1 :]]
        kept = document[at:] if op == "upsert" else document[at + 1 :]
        return [*document[:at], *([] if op == "remove" else [value]), *kept]
    raise CannotError


@given(DATA, st.lists(OPERATIONS, max_size=4))
def test_a_patch_does_what_a_plain_reference_does(data, operations) -> None:
    before = copy.deepcopy(data)
    expected: Any = data
    try:
        for operation in operations:
            expected = reference(expected, operation.path, operation.op, operation.value)
    except CannotError:
        with pytest.raises(PolicyLoadError, match="cannot be done"):
            patched(data, operations, "d")
    else:
        found = patched(data, operations, "d")
        assert found == expected
        for operation in operations:
            assert found is not operation.value
    assert data == before


def delta(*entries: dict[str, Any], roots=("guardrails", "guardrails_data"), revision="r2"):
    files = {
        ".manifest": manifest(revision, roots),
        "patch.json": json.dumps({"data": list(entries)}).encode(),
    }
    return Bundle.of(files, "d")


def test_a_bundle_with_a_delta_has_its_revision_and_its_data() -> None:
    whole = Bundle.of(policy_files("r1"), "b")
    entry = {"op": "upsert", "path": "/guardrails_data/trusted/-", "value": "b"}
    found = with_delta(whole, delta(entry))
    assert found.data["guardrails_data"]["trusted"] == ["a", "b"]
    assert whole.data["guardrails_data"]["trusted"] == ["a"]
    assert (found.manifest.revision, whole.manifest.revision) == ("r2", "r1")
    assert found.modules == whole.modules


def test_a_delta_has_the_roots_of_its_bundle() -> None:
    whole = Bundle.of(policy_files("r1"), "b")
    entry = {"op": "upsert", "path": "guardrails_data/x", "value": 1}
    with pytest.raises(PolicyLoadError, match="differ"):
        with_delta(whole, delta(entry, roots=("guardrails_data",)))


@pytest.mark.parametrize(
    "entry",
    [
        {"op": "add", "path": "guardrails_data/x", "value": 1},
        {"op": "upsert", "path": "guardrails_data/x"},
        {"op": "upsert", "path": "", "value": 1},
        {"op": "upsert", "path": "/", "value": 1},
        {"op": "upsert", "path": "guardrails_data//x", "value": 1},
        {"op": "upsert", "path": "guardrails_data/%2e", "value": 1},
        {"op": "upsert", "path": "other/x", "value": 1},
        {"op": "upsert", "path": 1, "value": 1},
        {"path": "guardrails_data/x", "value": 1},
        "upsert",
    ],
)
def test_what_is_no_change_is_refused(entry) -> None:
    with pytest.raises(PolicyLoadError, match=r"d:patch\.json: entry 0"):
        delta(entry)


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"data": []}', b'{"data": {}}', b"x"])
def test_what_is_no_patch_is_refused(content) -> None:
    with pytest.raises(PolicyLoadError, match=r"patch\.json"):
        Bundle.of({"patch.json": content}, "d")


def test_a_pointer_is_read_as_opa_reads_it() -> None:
    entry = {"op": "upsert", "path": "guardrails_data/a~1b/c~0d/~01/", "value": 1}
    paths = [each.path for each in delta(entry).patch or ()]
    assert paths == [("guardrails_data", "a/b", "c~d", "~1")]
