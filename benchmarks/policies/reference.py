"""The two reference policies, loaded: their Rego, their data, their inputs, their Python."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Final

from benchmarks.policies.flat import hand_written as flat_by_hand
from benchmarks.policies.flat.inputs import CASES as FLAT_CASES
from benchmarks.policies.library import hand_written as library_by_hand
from benchmarks.policies.library.inputs import CASES as LIBRARY_CASES
from benchmarks.policies.policy import Policy
from guardrails.engines.layers import read_layers
from guardrails.register import Register
from guardrails.resources import policies_directory

_HERE: Final = Path(__file__).parent
ENTRYPOINT: Final = "guardrails/decision"
"""The rule that decides, in both."""


def flat() -> Policy:
    """One package of about 45 lines."""
    folder = _HERE / "flat"
    data = json.loads((folder / "data.json").read_text(encoding="utf-8"), parse_float=Decimal)
    modules = {"policy.rego": (folder / "policy.rego").read_text(encoding="utf-8")}
    by_hand = flat_by_hand.make_decide(data["guardrails_data"])
    return Policy("flat", modules, data, FLAT_CASES, by_hand)


def library() -> Policy:
    """The shipped library, read as an engine reads it, over the register beside this file."""
    shipped = policies_directory()
    folder = _HERE / "library"
    register = Register.load(folder / "agents.yaml")
    layered = read_layers(
        (shipped / "guardrails", shipped / "data.yaml", folder / "data.yaml"),
        {"agents": register.policy_data()},
    )
    by_hand = library_by_hand.make_decide(layered.data["guardrails_data"])
    return Policy("library", layered.modules, layered.data, LIBRARY_CASES, by_hand)
