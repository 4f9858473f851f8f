"""``guardrails approvals``: a person's signed word, from another process, lets one call run."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardrails.audit.reading import read
from guardrails.cli import app
from guardrails.processes import user_name

AGENT = """
import sys
import guardrails as gr

@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(approvers="finance-ops", expires_in="4h")
def refund(order: str, amount: int) -> str:
    return f"refunded {amount}"

with gr.run(agent="billing", id="run-1", budget=gr.Budget(usd="1")):
    try:
        print(refund("A-1\\x1b[31m", int(sys.argv[1])))
    except gr.Refusal as refusal:
        print(type(refusal).__name__)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "guardrails.yaml").write_text(
        "environment: dev\napprovers: approvers.yaml\n", encoding="utf-8"
    )
    (tmp_path / "agents.yaml").write_text(
        textwrap.dedent("""
        billing:
          owner: dana@acme.example
          budget: {dev: {usd: 5}}
          access: {payments: [write]}
        """),
        encoding="utf-8",
    )
    (tmp_path / "agent.py").write_text(AGENT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    told = CliRunner().invoke(
        app, ["approvals", "enroll", "lee@acme.example", "--group", "finance-ops"]
    )
    enrolled = told.stdout
    (tmp_path / "approvers.yaml").write_text(enrolled, encoding="utf-8")
    return tmp_path


def cli(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["approvals", *args])
    assert result.exit_code == code, result.output
    return result.output


def agent(amount: int = 5) -> str:
    ran = subprocess.run(
        [sys.executable, "agent.py", str(amount)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_person_s_word_lets_exactly_that_call_run_once(project):
    assert agent() == "ApprovalPending"
    (waiting,) = json.loads(cli("list", "--json"))
    assert waiting["args"]["amount"] == 5
    shown = cli("show", waiting["id"][:7])
    assert "\\u001b" in shown
    assert "\x1b" not in shown
    assert "approved by lee@acme.example" in cli("approve", waiting["id"], "--reason", "agreed")
    assert agent(50) == "ApprovalPending", "other arguments are another call"
    assert agent() == "refunded 5"
    assert agent() == "ApprovalPending", "it counts once"
    record = list(read(".guardrails/record"))
    said = next(each for each in record if each["kind"] == "approval.approved")
    assert said["detail"]["by"] == "lee@acme.example"
    assert said["detail"]["channel"] == "cli"
    assert said["detail"]["reason"] == "agreed"


def test_a_long_list_begins_with_the_oldest_and_says_how_many_follow(project):
    for amount in (5, 6, 7):
        agent(amount)
    first, _, last = (each["id"] for each in json.loads(cli("list", "--json", "--limit", "1")))
    shown = cli("list", "--limit", "2")
    assert first in shown
    assert last not in shown
    assert "and 1 more; --limit 3 lists all" in shown
    assert last in cli("list", "--limit", "3")
    assert "more" not in cli("list")


def test_functions_that_the_configuration_names_are_found_beside_it(project):
    (project / "acme_calls.py").write_text(
        "def page(notice):\n    print('paged:', notice.title)\n\ndef keep(line):\n    pass\n",
        encoding="utf-8",
    )
    with (project / "guardrails.yaml").open("a", encoding="utf-8") as file:
        file.write(
            "alerts: {pager: {callback: 'acme_calls:page'}}\n"
            "record: {directory: .guardrails/record, anchor_callback: 'acme_calls:keep'}\n"
        )
    assert "ApprovalPending" in agent()

    def guardrails(*words: str) -> str:
        # A process of its own: this one's path has the working directory in it.
        run = "import sys; sys.path.remove(''); from guardrails.cli import main; main()"
        command = [sys.executable, "-c", run, *words]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    for words in ("doctor", "budget set env/dev --day usd=9 --reason x", "audit tail --no-follow"):
        guardrails(*words.split())
    guardrails("kill", "agent/other", "--reason", "x")
    request = json.loads(guardrails("approvals", "list", "--json"))[0]["id"]
    assert "paged: lee@acme.example" in guardrails("approvals", "approve", request)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("x: {evil", "finance-ops"),
        ("d\u0430na@acme.example", "finance-ops"),
        ("dana@acme.example\nlee@acme.example", "finance-ops"),
        ("dana@acme.example", "a, b]\n  x: 1"),
    ],
)
def test_whom_the_file_would_not_take_gets_no_key(project, name, group):
    words = ("enroll", name, "--group", group, "--key", "new.key")
    assert "error: the entry:1:" in cli(*words, code=2)
    assert not (project / "new.key").exists()


def test_a_no_stands(project):
    agent()
    (waiting,) = json.loads(cli("list", "--json"))
    assert "--reason: say why" in cli("reject", waiting["id"], "--reason", " ", code=2)
    cli("reject", waiting["id"], "--reason", "who asked for this?")
    assert agent() == "ApprovalRejected"
    assert "nothing waits" in cli("list")
    cli("approve", waiting["id"], code=1)


def test_of_a_quorum_it_is_said_who_is_still_needed(project):
    text = AGENT.replace('approvers="finance-ops"', 'approvers="finance-ops", quorum=2')
    assert text != AGENT
    (project / "agent.py").write_text(text, encoding="utf-8")
    agent()
    (waiting,) = json.loads(cli("list", "--json"))
    assert "it is pending and needs 1 of finance-ops" in cli("approve", waiting["id"])


def test_a_call_that_died_with_its_process_is_of_unknown_outcome(project, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    dying = AGENT.replace("    return", "    import os; os._exit(9)\n    return", 1)
    agent()
    (waiting,) = json.loads(cli("list", "--json"))
    cli("approve", waiting["id"])
    (project / "agent.py").write_text(dying, encoding="utf-8")
    died = subprocess.run([sys.executable, "agent.py", "5"], capture_output=True, check=False)
    assert died.returncode == 9, died.stderr
    (project / "agent.py").write_text(AGENT, encoding="utf-8")
    assert re.search(r"outcome +unknown: ", cli("show", waiting["id"]))
    assert agent() == "ApprovalPending"
    (again,) = json.loads(cli("list", "--json"))
    said = cli("show", again["id"])
    assert f"{waiting['id']} was approved for the same call; it ended: unknown" in said
    assert f"{waiting['id']}, unknown: " in said
    assert "None" not in said


def test_who_is_not_in_the_file_cannot_answer(project):
    agent()
    (waiting,) = json.loads(cli("list", "--json"))
    text = (project / "approvers.yaml").read_text()
    (project / "approvers.yaml").write_text(text.replace("finance-ops", "legal"))
    assert "none of the groups" in cli("approve", waiting["id"], code=1)
    (project / "approvers.yaml").write_text(text.replace(f"os_user: {user_name()}", "os_user: eve"))
    assert "works as" in cli("approve", waiting["id"], code=2)
    (project / "config/guardrails/approver.key").unlink()
    assert "enroll" in cli("approve", waiting["id"], code=2)
    cli("enroll", "eve@acme.example", "--group", "finance-ops")
    said = cli("approve", waiting["id"], code=2)
    assert "does not have the key in `" in said
    assert "approver.key` for anybody" in said
    assert "for `lee@acme.example`" in cli(
        "approve", waiting["id"], "--as", "lee@acme.example", code=2
    )
    assert agent() == "ApprovalPending"


def test_without_an_approvers_file_nobody_answers_from_outside(project):
    (project / "guardrails.yaml").write_text("environment: dev\n")
    agent()
    (waiting,) = json.loads(cli("list", "--json"))
    assert "names no `approvers:` file" in cli("approve", waiting["id"], code=2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lee@acme.example: {groups: [fin], tokens: [x]}", "tokens"),
        ("lee@acme.example: {groups: [fin], key: x}", "a public key as `ed25519:"),
        ("lee@acme.example: {groups: [fin], key: 'ed25519:AAAA'}", "a public key as `ed25519:"),
        ("lee@acme.example: {groups: [], key: x}", "groups"),
        ("finance@acme.example: {groups: [fin], key: x}", "looks like a group's"),
    ],
)
def test_a_wrong_file_of_approvers_says_where(project, text, said):
    (project / "approvers.yaml").write_text(text)
    told = cli("list", code=2)
    assert said in told
    assert "approvers.yaml:1:" in told


def test_an_edit_is_signed_shown_and_lets_the_changed_call_run(project):
    agent(5000)
    (waiting,) = json.loads(cli("list", "--json"))
    assert "no argument" in cli("edit", waiting["id"], "--set", "x=1", code=2)
    assert "no JSON" in cli("edit", waiting["id"], "--set", "amount=much", code=2)
    assert "no terminal" in cli("edit", waiting["id"], code=2)
    told = cli("edit", waiting["id"], "--set", "amount=20", "--reason", "half")
    assert "amount: 5000 → 20" in told
    assert "approved by lee@acme.example" in told
    assert agent(5000) == "ApprovalEdited"
    assert agent(20) == "refunded 20"
    assert "gave way to" in cli("show", waiting["id"])
    agent(30)
    (next_one,) = json.loads(cli("list", "--json"))
    assert "amount: 20 → 30" in cli("show", next_one["id"])
    assert "calls left" not in cli("show", next_one["id"]), "the run has no limit of calls"


def test_a_file_of_arguments_takes_the_place_of_all_of_them(project):
    agent(5000)
    (waiting,) = json.loads(cli("list", "--json"))
    file = project / "args.json"
    file.write_text('{"order": "A-2"}')
    assert "'amount' is missing" in cli("edit", waiting["id"], "--args", str(file), code=1)
    file.write_text('{"order": "A-2", "amount": 7}')
    both = ("--args", str(file), "--set", "amount=1")
    assert "not both" in cli("edit", waiting["id"], *both, code=2)
    told = cli("edit", waiting["id"], "--args", str(file), "--no-approve")
    assert "order: " in told
    assert "approved" not in told
    (new,) = json.loads(cli("list", "--json"))
    assert (new["args"], new["origin"]) == ({"order": "A-2", "amount": 7}, waiting["id"])
    again = cli("edit", new["id"], "--set", "amount=5000", "--set", "order=A-1\x1b[31m")
    assert "approved by lee@acme.example" in again
    assert agent(5000) == "refunded 5000", "the call as it was asked for is approved in the end"


ASKING = """
import sys
import guardrails as gr

@gr.governed_tool(resource="payments", operation="write", shadow="withheld")
def refund(order: str, amount: int | None = None) -> str:
    if amount is None:
        amount = int(gr.escalate("the amount is missing", to="finance-ops"))
    return f"refunded {amount}"

governor = gr.load_governor(tools=[refund])
if sys.argv[1] == "resume":
    print(governor.resume_call(sys.argv[2]))
else:
    mode, amounts = sys.argv[1], [int(each) for each in sys.argv[2:]]
    budget = gr.Budget(usd="1", calls=9)
    with gr.run(agent="billing", id="run-1", budget=budget, mode=mode, governor=governor):
        try:
            print(refund("A-1", *amounts))
        except gr.Refusal as refusal:
            print(type(refusal).__name__)
governor.close()
"""


def asking(*args: str) -> str:
    ran = subprocess.run(
        [sys.executable, "agent.py", *args], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_question_is_answered_in_words_and_only_a_question(project, monkeypatch):
    (project / "agent.py").write_text(ASKING)
    assert asking("enforce") == "CallEscalated"
    (question,) = json.loads(cli("list", "--json"))
    monkeypatch.setenv("COLUMNS", "200")
    assert "question about refund(" in cli("list")
    assert "the amount is missing" in cli("show", question["id"])
    assert "asks a question" in cli("answer", question["id"], "  ", code=1)
    how = f"asks a question: guardrails approvals answer {question['id']} "
    assert how in cli("approve", question["id"], code=1)
    assert "approved by lee@acme.example" in cli("answer", question["id"], "20")
    assert asking("enforce") == "refunded 20"
    assert "outcome" not in cli("show", question["id"]), "an answer is no call"
    (project / "agent.py").write_text(AGENT)
    agent()
    (waiting,) = json.loads(cli("list", "--json"))
    assert "asks no question" in cli("answer", waiting["id"], "no, too much", code=1)
    assert agent() == "ApprovalPending", "words are no approval"


def test_a_withheld_call_is_accepted_and_made_elsewhere(project):
    approvers = project / "approvers.yaml"
    approvers.write_text(approvers.read_text().replace("finance-ops", "operations"))
    (project / "agent.py").write_text(ASKING)
    assert asking("shadow", "7") == "withheld"
    assert "nothing waits" in cli("list")
    assert "refund" in cli("list", "--proposals")
    (proposal,) = json.loads(cli("list", "--proposals", "--json"))
    assert "accepting it makes a call" in cli("approve", proposal["id"], code=1)
    told = cli("accept", proposal["id"], "--reason", "it was right")
    assert "approved by lee@acme.example" in told
    assert asking("resume", proposal["id"]) == "refunded 7"
    kinds = [each["kind"] for each in read(".guardrails/record")]
    assert kinds.count("approval.accepted") == 1
    assert kinds.count("call.started") == 1


LIVE = """
import sys
import guardrails as gr

@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > 10, approvers="finance-ops", expires_in="4h")
@gr.budget(cost="0.10")
def refund(amount: int) -> str:
    return f"refunded {amount}"

with gr.run(agent="billing", id="run-1", budget=gr.Budget(usd="1", calls=9)) as run:
    try:
        refund(50)
    except gr.ApprovalPending as pending:
        print(pending.request_id, flush=True)
    for _ in range(3):
        refund(1)
    print("spent", flush=True)
    sys.stdin.readline()
"""


def test_what_is_left_of_the_run_now_is_shown(project, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    (project / "agent.py").write_text(LIVE)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "agent.py"], stdin=pipe, stdout=pipe, text=True
    ) as process:
        request_id = process.stdout.readline().strip()
        assert process.stdout.readline() == "spent\n"
        until = time.monotonic() + 30
        left: dict[str, int] = {}
        while left.get("calls") != 6 and time.monotonic() < until:  # it is reported every second
            left = json.loads(cli("show", request_id, "--json"))["left_now"] or {}
        assert left == {"usd": 700_000, "calls": 6}
        shown = cli("show", request_id)
        assert "$0.70 now, $1.00 when this was asked" in shown
        assert "6 now, 9 when this was asked" in shown
        process.communicate("\n")
    assert json.loads(cli("show", request_id, "--json"))["left_now"] is None
    assert "now" not in next(line for line in cli("show", request_id).splitlines() if "usd" in line)


def test_what_comes_while_one_watches_is_shown_once_as_it_comes(project):
    assert agent(5) == "ApprovalPending"
    program = str(Path(sys.executable).with_name("guardrails"))
    with subprocess.Popen(
        [program, "approvals", "watch", "--interval", "0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        try:
            first = watching.stdout.readline()
            assert agent(6) == "ApprovalPending"
            second = watching.stdout.readline()
        finally:
            watching.send_signal(signal.SIGINT)
            rest, _ = watching.communicate(timeout=30)
    waiting = {each["id"] for each in json.loads(cli("list", "--json"))}
    assert {first.split()[0], second.split()[0]} == waiting
    assert first != second
    assert "\x1b" not in first + second
    assert rest == ""


def test_a_request_whose_call_a_kill_refuses_says_so(project, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    agent()
    (waiting,) = json.loads(cli("list", "--json"))
    assert "killed" not in cli("show", waiting["id"])

    def act(*words: str) -> None:
        done = CliRunner().invoke(app, [*words, "--reason", "it loops"])
        assert done.exit_code == 0, done.output

    act("kill", "agent/billing")
    said = cli("show", waiting["id"])
    assert f"agent/billing by {user_name()}: it loops; its call is refused until that is" in said
    act("resume", "agent/billing")
    assert "killed" not in cli("show", waiting["id"])
    act("kill", "run/run-1")
    assert "its call is refused, and stays so" in cli("show", waiting["id"])
