"""What is very deep, long or costly works, or is refused with a clear error: no crash, no hang.

Each case runs in a child of its own, which has a time and a memory that are far more than enough.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.rego.emit.extremes import CASES, QUICK, REFUSED

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
ROOT = Path(__file__).resolve().parents[3]
SECONDS = 60
MEMORY = 3 << 30

_CHILD = """
import resource, sys
from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego import Program
from guardrails.rego.planner import plan_modules
from tests.rego.emit import extremes

make, expected = extremes.CASES[sys.argv[2]]
source, document = make()
found = []
try:
    plan = plan_modules({"p.rego": source}, ["p/main"], timeout=30)
    # regopy reserves more than is used; so the limit comes after it.
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
    programs = [
        Program.from_plan(plan.document, planner=plan.planner, compiled=compiled)
        for compiled in (True, False)
    ]
except PolicyLoadError as error:
    print("refused", str(error)[:200])
    sys.exit()
for program in programs:
    for strict in (True, False):
        try:
            value = program.evaluate("p/main", document, strict_builtin_errors=strict)
        except EvaluationError as error:
            found.append(error.code)
        else:
            found.append(extremes.told(value, expected))
print(*found, sep="|")
"""


def outcome(name):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(MEMORY), name],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout.strip()


ERRORS = {"eval_limit_error", "eval_builtin_error", "eval_type_error", "invalid_document"}


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(CASES) if SOAK else sorted(QUICK))
def test_it_works_or_is_refused(name):
    found = outcome(name)
    assert found.startswith("refused") == (name in REFUSED), found
    if name in REFUSED:
        return
    compiled_strict, compiled, strict, lenient = found.split("|")
    assert {compiled_strict, strict} <= {"right", *ERRORS}, found
    # What a builtin refuses is undefined where its errors are not strict.
    assert {compiled, lenient} <= {"right", "undefined", *ERRORS}, found
    for one, other in ((compiled_strict, strict), (compiled, lenient)):
        # How deep rules may call one another differs; else nothing does.
        assert one == other or {one, other} == {"right", "eval_limit_error"}, found
