"""What all tests share: how hypothesis searches, a cache of compiled policies, an OPA binary.

Events that any test has recorded fit the published schema: a share of each kind is looked at.

Hypothesis takes the same sample every time, or, with GUARDRAILS_SOAK=1, searches far and wide.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from jsonschema import Draft202012Validator

from guardrails.audit.event_schema import event_schema
from guardrails.audit.exact_json import exact_json
from guardrails.audit.kinds import KINDS
from guardrails.audit.memory import MemoryRecord
from guardrails.audit.redaction import Redaction
from guardrails.rego.opa_binary import find_opa

_SLOW = [HealthCheck.too_slow]

settings.register_profile("sample", derandomize=True, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("soak", max_examples=2_000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile("soak" if os.environ.get("GUARDRAILS_SOAK") == "1" else "sample")


@pytest.fixture(scope="session", autouse=True)
def own_cache():
    """No test reads or fills the cache of the user who runs it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", folder)
        yield


@pytest.fixture(scope="session")
def opa():
    """The path of an OPA binary; without one the test is skipped, or fails where CI runs it."""
    found = find_opa()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no OPA binary: set OPA, or run `make opa`")
        pytest.skip("no OPA binary: set OPA, or run `make opa`")
    return found


_LOOKED_AT = 200
"""Events of each kind that are held against the schema, in each process."""


class Looking:
    """Whether the events of the moment are made up, as in tests of records."""

    is_made_up = False


@pytest.fixture(scope="session", autouse=True)
def published_events():
    """Whatever is recorded in these tests, its line is as the schema says."""
    check = Draft202012Validator(event_schema())
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    state = Looking()
    redaction = Redaction()
    of_memory, of_lines = MemoryRecord.write, Redaction.documents

    def look(document) -> None:
        if state.is_made_up:
            return
        kind = document["kind"]
        seen[kind] += 1
        if kind not in KINDS:
            wrong.append(f"unknown kind {kind}")
        elif seen[kind] <= _LOOKED_AT:
            plain = json.loads(exact_json(document))
            wrong.extend(f"{kind}: {each.message[:300]}" for each in check.iter_errors(plain))

    def write(self, event) -> None:
        of_memory(self, event)
        look(of_lines(redaction, [event])[0])

    def documents(self, events):
        made = of_lines(self, events)
        for each in made:
            look(each)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryRecord, "write", write)
        patch.setattr(Redaction, "documents", documents)
        yield state
    assert not wrong, sorted(set(wrong))


@pytest.fixture(scope="module")
def made_up_events(published_events):
    """The events of these tests are made up, and need not be as the schema says."""
    published_events.is_made_up = True
    yield
    published_events.is_made_up = False
