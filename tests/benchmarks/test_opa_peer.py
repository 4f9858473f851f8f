"""The OPA server as a peer: the real one, started and stopped by the benchmark."""

from __future__ import annotations

import contextlib
import os

import pytest
from benchmarks import sidecar
from benchmarks.peers import opa_server
from benchmarks.policies import reference
from benchmarks.variant import NotThereError, check_agreement, variant


@pytest.mark.opa
def test_the_server_decides_as_the_hand_written_python():
    try:
        opa_server.opa_binary()
    except NotThereError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    flat = reference.flat()
    assert flat.by_hand is not None
    with opa_server.opa_server(flat) as served:
        check_agreement([variant("by hand", flat.by_hand), served], flat.cases)


def test_a_binary_that_serves_nothing_is_not_there(monkeypatch):
    monkeypatch.setenv("OPA", "/bin/false")
    with (
        pytest.raises(NotThereError, match="does not answer"),
        opa_server.opa_server(reference.flat()),
    ):
        pytest.fail("it answered")


@pytest.mark.opa
def test_the_ways_to_the_server_bring_the_same_decisions(opa):
    inputs = sidecar.cases(reference.flat().cases)
    with contextlib.ExitStack() as stack:
        variants = [make() for make in sidecar.makers(stack).values()]
        check_agreement(variants, inputs)
        for case in inputs:
            decide, argument = variants[0].bind(case.input)
            assert variants[0].answer(decide(argument)) == case.effect
    assert {case.effect for case in inputs} == {"allow", "deny"}
