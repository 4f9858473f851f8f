"""The engines decide alike: in this process and by an OPA server, also on junk.

The shipped library, and the example policies on top of it, over the calls of
:mod:`tests.policies.test_parity`. With strict builtin errors both engines are asked; without,
as no engine does, the reference program of the one, and the server of the other.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.opa.opa_process import running
from tests.policies.test_parity import DATA, cases
from tests.rego.fuzz.opa_peer import Server, answer

from guardrails.engines.in_process import ENTRYPOINT, InProcessEngine
from guardrails.engines.layers import PolicyFiles, read_layers
from guardrails.engines.sidecar import SidecarEngine
from guardrails.errors import EvaluationError
from guardrails.model.decision import Decision, MalformedDecision
from guardrails.rego.values import equal, from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.ports import PolicyEngine

pytestmark = pytest.mark.opa

POLICIES = Path(__file__).parents[2] / "policies"
CASES = 10_000 if os.environ.get("GUARDRAILS_SOAK") == "1" else 80
LAYERS = {
    "library": (POLICIES / "guardrails",),
    "examples": (POLICIES / "guardrails", POLICIES / "examples" / "banking"),
}


ACCOUNTS: dict[str, Any] = {
    "customer:1": {
        "balance": 5000,
        "paid": {"pat@customer.example": 25.5},
        "standing_orders": [],
    }
}


def calls(name: str) -> list[Any]:
    """The calls, and for the bank's policies the same as payments that these know."""
    made = [exact(case["input"]) for case in cases(CASES)]
    for document in made if name == "examples" else ():
        args, run = document.get("args"), document.get("run")
        if isinstance(args, dict) and "to" in args:
            args["recipient"] = args.pop("to")
            args.pop("cc", None)
        if isinstance(run, dict):
            run["history"] = {"pay": 1}
    return made


def exact(document: Any) -> Any:
    return json.loads(json.dumps(document), parse_float=Decimal)


@pytest.fixture(scope="module", params=LAYERS)
def sides(request, opa, tmp_path_factory):
    """The layers and their data, in this process and in a server."""
    given = exact({**DATA, "accounts": ACCOUNTS})
    layers = LAYERS[request.param]
    for name in read_layers(layers, {}).data["guardrails_data"]:
        given.pop(name, None)
    layered = read_layers(layers, given)
    folder = tmp_path_factory.mktemp("parity")
    modules = {f"m{number}.rego": text for number, text in enumerate(layered.modules.values())}
    modules["data.json"] = json.dumps(layered.data, default=float)
    in_process = InProcessEngine(PolicyFiles(layers), lambda: given, cache=None)
    with running(opa, folder, modules) as server:
        yield in_process, server, calls(request.param)


def said(engine: PolicyEngine, document: Mapping[str, Any]) -> tuple[str, Any]:
    try:
        decision = engine.decide(document, "d")
    except EvaluationError as error:
        return "error", error.code
    except MalformedDecision as error:
        return "malformed", str(error)
    return "decision", replace(decision, revision="")


def alike(one: tuple[str, Any], two: tuple[str, Any]) -> bool:
    if not isinstance(one[1], Decision) or not isinstance(two[1], Decision):
        return one == two
    values = [[duty.value for duty in each.obligations] for each in (one[1], two[1])]
    return one == two and equal(from_json(values[0]), from_json(values[1]))


@pytest.mark.soak
def test_with_strict_builtin_errors(sides):
    in_process, server, documents = sides
    sidecar = SidecarEngine(server.unix, deadline=60)
    effects = set()
    for document in documents:
        ours, theirs = said(in_process, document), said(sidecar, document)
        assert alike(ours, theirs), document
        effects.add(ours[1].effect.value if isinstance(ours[1], Decision) else ours[0])
    assert {"allow", "deny", "require_approval"} <= effects
    sidecar.close()


@pytest.mark.soak
def test_without(sides):
    in_process, server, documents = sides
    program = in_process.loaded.reference.program
    peer = Server(server.socket_path)
    for document in documents:
        ours = answer(program, ENTRYPOINT, document, strict=False)
        theirs = peer.ask(ENTRYPOINT, document, strict=False)
        assert ours[0] == theirs[0], document
        assert ours[0] != "value" or equal(from_json(ours[1]), from_json(theirs[1])), document
    peer.connection.close()
