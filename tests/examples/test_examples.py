"""Every example runs by itself, from any directory, and prints what its docstring says."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

import guardrails
from guardrails.rego.opa_binary import find_opa
from guardrails.resources import examples_directory

EXAMPLES = examples_directory()
LIBRARY = EXAMPLES.parent / "policies"
SHORTEST, LONGEST = 40, 120

SAYS = {
    "invoice_exceptions": [
        "INV-2041  paid $12.40 to Brandt",
        "INV-2077  asked: `pay_difference` waits for approval by finance-ops",
        "INV-2090  denied: supplier not in matrix [payments]",
        """\
INV-2077  $41,800.00: not covered, asked anew
INV-2077  paid $4,180.00 to Helvig for INV-2077
INV-2077  $4,180.00: not covered, asked anew
""",
        "7 calls ran, for $0.10",
    ],
    "hijacked_supplier": [
        "statement.pdf: sent `Confirmed` to ap@brandt.example",
        "reminder.pdf: denied, a recipient is not among the agent's contacts",
        "the model reads: `send_email` was not executed (denied)",
    ],
    "runaway_loop": [
        "50 calls ran, 8 threads were refused the next one",
        "spent $5.00 of $5.00",
        "the model reads: `look_up_rate` was not executed (budget_exceeded)",
    ],
    "kill_in_flight": [
        "stopped after ",
        "wrong sources (killed: agent/research-agent)",
        "started again: stopped before its first call",
    ],
    "shadow_triage": ["200 tickets: 0 written, 186 as humans decided"],
    "approvals_queue_worker": [
        "agent: INV-1 asked",
        """\
worker: paid $4,180 for INV-1
worker: paid $4,500 for INV-2
worker: not made (approval_rejected)
""",
    ],
    "approvals_web_handler": [
        "before anybody answered: 409 approval_pending",
        "approved: 200 released INV-2077 to Helvig",
        "clicked twice: 409 approval_rejected",
        "made up: 404 not found",
    ],
    "contract_renewal": [
        "research, summary and draft ran alone",
        "sending waits for a person",
        "contract-owners read: Dear Halden Software.",
        "with a postscript: not covered by the approval, not sent",
        "sent to astrid@halden.example",
        "the approved text is exactly the sent text: True",
    ],
}


def run(name, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(guardrails.__file__).parents[1])}
    environment.pop("GUARDRAILS_CONFIG", None)
    return subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs_by_itself_and_prints_what_it_says(name, tmp_path):
    ran = run(name, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    for text in SAYS[name]:
        assert text in ran.stdout
    assert list(tmp_path.iterdir()) == []  # and leaves nothing behind


def test_every_example_is_run_here_and_short_enough_to_read():
    written = {file.stem: file for file in EXAMPLES.glob("*.py")}
    written.pop("agentdojo_banking", None)  # it has tests of its own
    assert written.keys() == SAYS.keys()
    for file in written.values():
        text = file.read_text("utf-8")
        assert SHORTEST <= text.count("\n") <= LONGEST, file
        assert f"python examples/{file.name}" in text
        assert "from guardrails" not in text  # the public names suffice


def test_the_tickets_are_what_their_rule_makes():
    names: dict[str, Any] = {"__name__": "make_tickets"}
    source = (EXAMPLES / "data" / "make_tickets.py").read_text("utf-8")
    exec(compile(source, "make_tickets.py", "exec"), names)  # noqa: S102  # our own file, without a package
    made = io.StringIO()
    with redirect_stdout(made):
        names["main"]()
    kept = (EXAMPLES / "data" / "tickets.csv").read_text("utf-8")
    assert made.getvalue() == kept
    tickets = list(csv.DictReader(io.StringIO(kept)))
    assert len({ticket["id"] for ticket in tickets}) == 200
    assert len({ticket["human"] for ticket in tickets}) == 4


@pytest.fixture
def opa():
    found = find_opa()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no OPA binary; `make opa` gets one")
        pytest.skip("no OPA binary; `make opa` gets one")
    return found


@pytest.mark.opa
@pytest.mark.parametrize("library", [False, True], ids=["alone", "with the library"])
def test_the_examples_policies_pass_under_opa(opa, library):
    ours = str(EXAMPLES / "policies")
    with_library = [str(LIBRARY / part) for part in ("guardrails", "fixtures", "data.yaml")]
    paths = [*with_library, ours] if library else [ours]
    printed = ""
    for command in (["check", "--strict"], ["test"]):
        ran = subprocess.run(
            [opa, *command, *paths], capture_output=True, encoding="utf-8", check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        printed += ran.stdout
    assert "PASS: " in printed
