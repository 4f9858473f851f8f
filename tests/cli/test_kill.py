"""`guardrails kill`, `resume`, `runs`, `status`: what an operator does to a running machine."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from contextlib import closing, suppress

import pytest
from tests.capabilities import without_override
from typer.testing import CliRunner

import guardrails as gr
from guardrails import testing
from guardrails.audit.jsonl import JsonLinesRecord
from guardrails.audit.reading import read
from guardrails.cli import app
from guardrails.model.breakers import Breaker, Breakers
from guardrails.model.kill import Scope
from guardrails.runs.directory import RunDirectory
from guardrails.runs.kill_shared import SharedKillSwitch
from guardrails.runs.ledgers.sqlite import SqliteLedger

ME = pwd.getpwuid(os.getuid()).pw_name

REGISTER = """
billing:
  owner: dana.ruiz@acme.example
  deputy: finn.bauer@acme.example
  on_call: {notify: "#billing-oncall", runbook: runbooks/billing.md}
  budget: {test: {usd: 5}}
support:
  owner: mia.wolf@acme.example
  budget: {test: {usd: 5}}
"""


@gr.governed_tool(name="refund")
def refund() -> str:
    return "refunded"


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "140")
    (tmp_path / "guardrails.yaml").write_text(
        "environment: test\nrecord: .guardrails/record.jsonl\n"
    )
    (tmp_path / "agents.yaml").write_text(REGISTER)
    return tmp_path


@pytest.fixture
def its(project):
    state = project / ".guardrails"
    with (
        closing(SharedKillSwitch(state)) as switch,
        closing(RunDirectory(state)) as directory,
        closing(JsonLinesRecord(state / "record.jsonl")) as record,
    ):
        yield testing.governor(kill_switch=switch, directory=directory, record=record)


def run(*words, code=0, stdin=None):
    result = CliRunner().invoke(app, [str(word) for word in words], input=stdin)
    assert result.exit_code == code, result.output + result.stderr
    return result


def acts(project):
    events = read(project / ".guardrails" / "record.jsonl")
    return [
        {"kind": event["kind"], **event["detail"]}
        for event in events
        if event["kind"] in ("kill", "resume")
    ]


def test_a_kill_says_what_it_stopped_whom_to_tell_and_how_to_resume(project, its):
    with testing.run("billing", governor=its, id="r-one", principal="ann") as killed:
        refund()
        said = run("kill", "agent/billing", "--reason", "it loops").stdout
        assert its.kill_switch.find(killed.subject) is not None
    assert f"killed     agent/billing, by {ME}: it loops" in said
    assert "stopped    1 open run in 1 process" in said
    assert "r-one  billing@1  test" in said
    assert "for ann" in said
    assert (
        "billing: owner dana.ruiz@acme.example, deputy finn.bauer@acme.example, "
        "on call #billing-oncall, runbook runbooks/billing.md"
    ) in said
    assert 'guardrails resume agent/billing --reason "…"' in said
    assert acts(project) == [
        {"kind": "kill", "scope": "agent/billing", "reason": "it loops", "by": ME}
    ]


def test_who_acts_is_the_system_s_user_whatever_is_claimed(project, its, monkeypatch):
    for name in ("USER", "LOGNAME", "SUDO_USER", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    run("kill", "agent/billing", "--reason", "x", "--by", "dana")
    assert acts(project)[0]["by"] == f"dana (as user {ME})"


def test_a_resume_names_both_sides_and_lifts_the_kill(project, its):
    run("kill", "agent/billing", "--reason", "it loops")
    run("kill", "tool/refund", "--reason", "broken")
    said = run("resume", "agent/billing", "--reason", "fixed").stdout
    assert f"resumed agent/billing, by {ME}: fixed" in said
    assert f"ago by {ME}: it loops" in said
    assert "still killed: tool/refund" in said
    assert [str(kill.scope) for kill in its.kill_switch.active()] == ["tool/refund"]
    assert acts(project)[-1] == {
        "kind": "resume",
        "scope": "agent/billing",
        "reason": "fixed",
        "by": ME,
    }


def test_a_killed_run_never_resumes_and_its_id_never_runs_again(project, its):
    with testing.run(governor=its, id="r-one"):
        run("kill", "run/r-o", "--reason", "enough")
    assert [str(kill.scope) for kill in its.kill_switch.active()] == ["run/r-one"]
    said = run("resume", "run/r-one", "--reason", "again", code=2).stderr
    assert "a killed run stays killed" in said
    script = """
import sys
import guardrails as gr
from guardrails import testing
from guardrails.runs.kill_shared import SharedKillSwitch
from guardrails.runs.ledgers.sqlite import SqliteLedger
its = testing.governor(kill_switch=SharedKillSwitch(".guardrails"))
@gr.governed_tool(name="work")
def work():
    print("ran")
try:
    with testing.run(governor=its, id="r-one"):
        work()
except gr.RunStopped as stopped:
    print(stopped.code)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=project
    )
    assert ran.stdout == "run_stopped\n"


@pytest.mark.parametrize("target", ["all", "env/test"])
def test_a_wide_target_needs_a_word(project, its, target):
    said = run("kill", target, "--reason", "x", code=2).stderr
    assert "`--yes`" in said
    assert its.kill_switch.active() == ()
    run("kill", target, "--reason", "x", "--yes")
    assert [str(kill.scope) for kill in its.kill_switch.active()] == [target]


def test_a_dry_run_does_nothing(project, its):
    with testing.run("billing", governor=its, id="r-one"):
        said = run("kill", "all", "--reason", "x", "--dry-run").stdout
    assert "would kill" in said
    assert "stops      1 open run" in said
    assert its.kill_switch.active() == ()
    assert acts(project) == []


@pytest.mark.parametrize(
    ("target", "warns"),
    [
        ("agent/biling", "no agent `biling` is in the register or has an open run; did you mean"),
        ("agent/billing@9", "no version `9` is one of agent `billing`; there are `1`"),
        ("tool/refnd", "no tool `refnd` was called in a listed run so far; did you mean `refund`?"),
        ("env/tset", "no environment `tset` is one of this machine; did you mean `test`?"),
        ("run/zzz", "no open run `zzz` is listed"),
    ],
)
def test_an_unknown_name_is_killed_with_a_warning(project, its, target, warns):
    with testing.run(governor=its, id="r"):
        refund()
    said = run("kill", target, "--reason", "x", "--yes").stderr
    assert f"warning: {warns}" in said
    assert [str(kill.scope) for kill in its.kill_switch.active()] == [target]


@pytest.mark.parametrize("target", ["billing", "agent/", "all/x", "user/x", ""])
def test_what_is_no_target_is_a_usage_error(project, target):
    assert "is no target" in run("kill", target, "--reason", "x", code=2).stderr


def test_neither_register_nor_record_nor_runs_keep_anybody_from_killing(project, its):
    (project / "agents.yaml").write_text("billing: [not, an, agent]\n")
    record = project / ".guardrails" / "record.jsonl"
    record.unlink()
    record.mkdir()
    its.directory.close()
    for file in (project / ".guardrails").glob("runs.sqlite*"):
        file.unlink()
    (project / ".guardrails" / "runs.sqlite").write_bytes(b"garbage" * 99)
    said = run("kill", "agent/billing", "--reason", "x", code=3).stderr
    assert "the register cannot be read" in said
    assert "is killed, but that could not be recorded" in said
    assert [str(kill.scope) for kill in its.kill_switch.active()] == ["agent/billing"]
    run("resume", "agent/billing", "--reason", "x", code=3)
    assert len(its.kill_switch.active()) == 1, "what cannot be recorded does not go on"


def test_without_a_configuration_the_state_directory_is_enough(project, its):
    (project / "guardrails.yaml").write_text("nonsense: [\n")
    assert "--state DIR" in run("kill", "agent/x", "--reason", "x", code=2).stderr
    run("kill", "agent/x", "--reason", "x", "--state", ".guardrails")
    assert len(its.kill_switch.active()) == 1
    run("status", "--state", ".guardrails")
    run("resume", "agent/x", "--reason", "x", "--state", ".guardrails")
    assert its.kill_switch.active() == ()


def test_state_that_is_not_shared_says_so(project):
    (project / "guardrails.yaml").write_text("environment: test\nstate: null\n")
    said = run("kill", "agent/x", "--reason", "x", code=2).stderr
    assert "`state: null` shares nothing" in said


def test_a_kill_as_json(project, its):
    with testing.run("billing", governor=its, id="r-one"):
        said = json.loads(run("kill", "agent/billing", "--reason", "x", "--json").stdout)
    assert said["target"] == "agent/billing"
    assert [each["id"] for each in said["runs"]] == ["r-one"]
    assert said["tell"][0]["on_call"] == "#billing-oncall"
    assert said["resume"] == 'guardrails resume agent/billing --reason "…"'


def test_the_configured_sinks_are_told(project, its):
    (project / "told.py").write_text(
        "import json, pathlib\n"
        "def tell(notice):\n"
        "    pathlib.Path('notice.json').write_text(json.dumps(notice.document()))\n"
        "def fail(notice):\n"
        "    raise OSError('no line')\n"
    )
    (project / "guardrails.yaml").write_text(
        "environment: test\n"
        "alerts:\n"
        "  pager: {callback: 'told:tell'}\n"
        "  broken: {callback: 'told:fail'}\n"
    )
    done = run("kill", "agent/billing", "--reason", "it loops")
    assert "told       pager" in done.stdout
    assert "not told   broken" in done.stdout
    told = json.loads((project / "notice.json").read_text())
    assert told["type"] == "guardrails.kill"
    assert told["data"]["agent"] == "billing"
    assert told["data"]["facts"]["reason"] == "it loops"
    assert told["data"]["notify"]["owner"] == "dana.ruiz@acme.example"
    with its.run("support", id="r-two"):
        run("kill", "run/r-two", "--reason", "it loops")
    told = json.loads((project / "notice.json").read_text())
    assert (told["data"]["agent"], told["data"]["run_id"]) == ("support", "r-two")
    assert told["data"]["notify"]["owner"] == "mia.wolf@acme.example"


def test_runs_are_listed_shown_and_followed_by_their_short_ids(project, its):
    with testing.run("billing", governor=its, id="0123456789-a") as open_run:
        with its.run("billing", id="0123456789-b"):
            refund()
        refund()
        listed = run("runs", "list").stdout
        assert "01234567  billing@1" in listed
        assert len(listed.splitlines()) == 2
        listed = run("runs", "list", "--all").stdout
        assert "0123456789-a  billing@1" in listed, "as much of the ids as tells them apart"
        assert "0123456789-b  billing@1" in listed
        assert [one["id"] for one in json.loads(run("runs", "list", "--json").stdout)] == [
            open_run.id
        ]
        shown = run("runs", "show", "0123456789-b").stdout
        assert "in run   0123456789-a (billing)" in shown
        assert "calls    1 × refund ok" in shown
        assert "state    closed" in shown
        its.kill("agent/billing", reason="enough", by="op")
        document = json.loads(run("runs", "show", "0123456789-a", "--json").stdout)
        assert document["killed"] == {"by": "op", "reason": "enough"}
        lines = run("runs", "tail", "0123456789-b").stdout.splitlines()
        assert [line.split()[2] for line in lines] == [
            "run.opened",
            "call.started",
            "call.finished",
            "run.closed",
        ]
        said = run("runs", "show", "0123", code=2).stderr
        assert "several runs begin with `0123`" in said


def test_a_run_s_calls_at_work_are_shown(project, its):
    @gr.governed_tool(name="look")
    def look() -> str:
        return run("runs", "show", "r-one").stdout

    with testing.run("billing", governor=its, id="r-one"):
        assert "at work  1 × look" in look()


def test_status_tells_what_is_killed_and_what_is_open(project, its):
    assert "killed   nothing" in run("status").stdout
    with testing.run("billing", governor=its, id="r-one"):
        its.kill("tool/refund", reason="broken", by="op")
        its.kill("run/other", reason="x", by="op")
        said = run("status").stdout
        assert "by op: broken" in said
        assert "and 1 single run" in said
        assert "open     1 run" in said
        assert "billing@1  1 run" in said
        assert "policy   revision test" in said
        document = json.loads(run("status", "--json").stdout)
    assert [one["target"] for one in document["killed"]] == ["tool/refund", "run/other"]
    assert [one["id"] for one in document["open"]] == ["r-one"]


def test_looking_at_a_machine_without_state_makes_none(project):
    run("status")
    run("runs", "list")
    run("kill", "all", "--reason", "x", "--dry-run")
    assert not (project / ".guardrails").exists()


def test_reasons_cannot_steer_the_terminal(project, its):
    its.kill_switch.kill(Scope.parse("agent/x"), reason="\x1b[2Jgone", by="op\n")
    said = run("status").stdout
    assert "\x1b" not in said
    assert "\\x1b[2Jgone" in said


JOINS = """
import sys
import guardrails as gr

its = gr.load_governor("guardrails.yaml")
with its.join_run(sys.argv[1]):
    print("joined", flush=True)
    sys.stdin.readline()
its.close()
"""


def test_workers_that_joined_a_run_in_other_processes_are_told_of(project):
    with closing(gr.load_governor("guardrails.yaml")) as its, its.run("billing") as opened:
        command = [sys.executable, "-c", JOINS, its.run_token()]
        pipe = subprocess.PIPE
        workers = [
            subprocess.Popen(command, cwd=project, stdin=pipe, stdout=pipe, text=True)
            for _ in range(2)
        ]
        try:
            for worker in workers:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "joined\n"
            pids = sorted(worker.pid for worker in workers)
            (told,) = json.loads(run("runs", "list", "--json").stdout)
            assert sorted(told["workers"]) == pids
            said = run("kill", f"run/{opened.id}", "--reason", "r", "--dry-run").stdout
            assert "stops      1 open run in 3 processes" in said
            opened.charge(usd="0.25", tokens=7)
            assert isinstance(its.ledger, SqliteLedger)
            its.ledger.renew(1e9)
            assert "spent    $0.25, 7 tokens" in run("runs", "show", opened.id).stdout
            workers[0].kill()  # it says nothing any more, and is not told of
            workers[0].wait()
            workers[1].communicate("\n", timeout=60)
            said = run("kill", f"run/{opened.id}", "--reason", "r").stdout
            assert "stopped    1 open run in 1 process\n" in said
            assert "joined by" not in said
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()
    assert "spent    $0.25, 7 tokens" in run("runs", "show", opened.id).stdout


def test_a_run_whose_opener_died_is_open_while_a_worker_lives(project, its):
    state = project / ".guardrails"
    opens = (
        "import sys, os\n"
        "from guardrails import testing\n"
        "from guardrails.runs.directory import RunDirectory\n"
        "its = testing.governor(directory=RunDirectory(sys.argv[1]))\n"
        "with its.run('billing', id='orphan'):\n"
        "    os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", opens, str(state)], check=True)
    joining = its.directory.join("orphan")
    assert its.directory.find("orphan").state == "lost"
    joining.open()
    said = run("kill", "agent/billing", "--reason", "r").stdout
    assert f"joined by pid {os.getpid()}" in said
    joining.close(None)
    assert its.directory.find("orphan").state == "lost"


def test_an_operator_lets_a_run_go_on_that_a_breaker_stopped(project):
    state = project / ".guardrails"
    with (
        closing(RunDirectory(state)) as directory,
        closing(JsonLinesRecord(state / "record.jsonl")) as record,
        testing.governor(
            directory=directory,
            record=record,
            breakers=Breakers(repeat=Breaker(stop=3, of=10)),
        ).run("billing") as opened,
    ):
        run("runs", "reset-breaker", opened.id, "--reason", "too early")
        for _ in range(2):
            assert refund() == "refunded"
        for _ in range(2):
            with pytest.raises(gr.BreakerTripped, match="reset-breaker"):
                refund()
        said = run("runs", "reset-breaker", opened.id[:13], "--reason", "the provider is back")
        assert f"run {opened.id} goes on with its next call" in said.stdout
        assert refund() == "refunded"
        assert refund() == "refunded"
        assert refund() == "refunded"
        with pytest.raises(gr.BreakerTripped):
            refund()
        (one, two) = [
            event
            for event in read(project / ".guardrails" / "record.jsonl")
            if event["kind"] == "breaker.reset"
        ]
        assert two["detail"] == {"run": opened.id, "reason": "the provider is back", "by": ME}
        assert one["detail"]["reason"] == "too early"
    ended = run("runs", "reset-breaker", opened.id, "--reason", "r", code=2).stderr
    assert "makes no further call" in ended


@pytest.fixture(params=["another user's", "a name that the system does not take"])
def out_of_reach(request, project):
    """A state directory that cannot be looked into."""
    if request.param == "another user's":
        state = project / ".guardrails"
        state.mkdir(mode=0)
        with without_override():
            yield state
        state.chmod(0o700)
    else:
        state = project / ("s" * 300)
        (project / "guardrails.yaml").write_text(
            f"environment: test\nstate: {state}\nrecord: {state}/record\n"
        )
        yield state


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("runs", "list"),
        ("kill", "agent/billing", "--reason", "x"),
        ("resume", "agent/billing", "--reason", "x"),
    ],
)
def test_what_cannot_be_looked_into_is_out_of_reach_and_not_empty(out_of_reach, words):
    said = run(*words, code=3).stderr
    assert "the state directory `" in said
    assert "act as the user that the agents run as" in said


def test_doctor_goes_on_where_state_and_record_are_out_of_reach(out_of_reach):
    said = run("doctor", "--json", code=3).stdout
    found = {each["name"]: each["status"] for each in json.loads(said)["checks"]}
    assert found["kill switch"] == "fail"
    assert found["record"] == "fail"


def test_a_dry_run_needs_no_reason_and_every_act_does(project, its):
    with testing.run("billing", governor=its, id="r-one"):
        assert "stops      1 open run" in run("kill", "agent/billing", "--dry-run").stdout
        for words in (
            ("kill", "agent/billing"),
            ("kill", "agent/billing", "--reason", " "),
            ("resume", "agent/billing", "--reason", ""),
            ("runs", "reset-breaker", "r-one", "--reason", "\t"),
        ):
            assert "--reason: say why" in run(*words, code=2).stderr
    assert its.kill_switch.active() == ()
    assert acts(project) == []


def test_a_reason_is_shown_on_one_line_whoever_gave_it(project, its):
    forged = "it loops\nkilled   agent/support by dana\x1b[2K"
    with suppress(gr.RunStopped), testing.run("billing", governor=its, id="r-one") as killed:
        killed.kill(forged)
        refund()
    said = run("runs", "show", "r-one").stdout
    said += run("kill", "agent/billing", "--reason", forged).stdout
    said += run("status").stdout
    said += run("resume", "agent/billing", "--reason", forged).stdout
    assert said.count(r"it loops\nkilled   agent/support by dana\x1b[2K") == 5
    assert "\nkilled   agent/support" not in said
    assert "\x1b" not in said


WORKING = """
import os
import guardrails as gr

@gr.governed_tool(resource="files", operation="write")
def export() -> None:
    os._exit(9)

with gr.run("billing", id="r-lost"):
    export()
"""


def test_a_lost_run_tells_the_calls_whose_end_nobody_knows(project):
    (project / "agents.yaml").write_text(
        REGISTER.replace("billing:", "billing:\n  access: {files: [write]}")
    )
    (project / "guardrails.yaml").write_text(
        "environment: test\nrecord: {directory: .guardrails/record, durability: write_ahead}\n"
    )
    died = subprocess.run([sys.executable, "-c", WORKING], capture_output=True, check=False)
    assert died.returncode == 9, died.stderr
    said = run("runs", "show", "r-lost").stdout
    assert "state    lost" in said
    assert "unknown  1 × export started; whether it ran is not known" in said
    document = json.loads(run("runs", "show", "r-lost", "--json").stdout)
    assert (document["unknown"], document["at_work"]) == ({"export": 1}, {})


def test_a_principal_is_listed_on_one_line(project, its):
    with testing.run("billing", governor=its, id="r-one", principal="ann\nr-two  support@1"):
        assert r"ann\nr-two  support@1" in run("runs", "list").stdout
        assert r"for ann\nr-two  support@1" in run("kill", "agent/billing", "--dry-run").stdout
