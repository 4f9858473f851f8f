"""The same policy becomes the same text in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from guardrails.engines.layers import read_layers
from guardrails.rego.planner import plan_modules

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
ROOT = Path(__file__).resolve().parents[3]

_WRITE = """
import json, random, sys
from tests.rego.emit.both import FORMS, settings
from tests.rego.emit.plans import Maker
from tests.rego.emit.vocabulary import PARTS, SCHEMA, facts
from guardrails.engines.layers import read_layers
from guardrails.rego import decoder
from guardrails.rego.compiled import artefact_of
from guardrails.rego.emit.program import Settings
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.values import from_json
from pathlib import Path

plan = json.load(open(sys.argv[1], encoding="utf-8"))
layers = read_layers([Path("policies")], {})
policy = decoder.decode(plan, planner="regopy")
sys.stdout.buffer.write(artefact_of(policy, from_json(layers.data), Settings()).dumps())
for seed in range(int(sys.argv[2])):
    policy = decoder.decode(Maker(random.Random(seed)).document(), planner="opa")
    for form in FORMS[:2]:
        try:
            found = artefact_of(policy, facts(random.Random(seed)), settings(form, SCHEMA, PARTS))
        except CannotEmit:
            continue
        sys.stdout.buffer.write(found.dumps())
"""


def test_two_processes_write_the_same(tmp_path):
    plan = plan_modules(read_layers([ROOT / "policies"], {}).modules, ["guardrails/decision"])
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan.document), "utf-8")
    texts = []
    for seed in ("0", "4000000000"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", _WRITE, str(file), "600" if SOAK else "60"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            check=True,
        )
        texts.append(done.stdout)
    assert texts[0] == texts[1]
    assert len(texts[0]) > 10_000
