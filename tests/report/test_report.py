"""A report says what the record holds, by agent and version; what it shows stays text."""

import csv
import io
import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import guardrails as gr
from guardrails.audit.exact_json import exact_json
from guardrails.cli.root import app
from guardrails.report import Report, report
from guardrails.report.sums import AgentSums, Day
from guardrails.report.told import csv_of, page_of

SECOND = 1_000_000_000


def events():
    opened = {"version": "3", "owner": "dana@acme.example"}
    one = {"agent": "billing", "run_id": "r1"}
    return [
        {"kind": "run.opened", "time": 1 * SECOND, **one, "detail": opened},
        {"kind": "call.started", "time": 2 * SECOND, **one},
        {"kind": "call.finished", "time": 3 * SECOND, **one, "detail": {"outcome": "error"}},
        {
            "kind": "call.refused",
            "time": 4 * SECOND,
            **one,
            "reasons": [{"rule": "limits", "reason": "x"}],
            "detail": {"code": "denied"},
        },
        {"kind": "call.shadowed", "time": 4 * SECOND, **one, "detail": {"would": "allow"}},
        {
            "kind": "approval.requested",
            "time": 5 * SECOND,
            **one,
            "detail": {"request_id": "q", "state": "pending"},
        },
        {
            "kind": "approval.approved",
            "time": 35 * SECOND,
            **one,
            "detail": {"request_id": "q", "state": "approved"},
        },
        {"kind": "breaker", "time": 36 * SECOND, **one},
        {
            "kind": "run.closed",
            "time": 40 * SECOND,
            **one,
            "detail": {"spent": {"usd": "0.50", "tokens": 10, "calls": 1}},
        },
        {"kind": "run.outcome", "time": 41 * SECOND, **one, "detail": {"outcome": "completed"}},
        {
            "kind": "run.feedback",
            "time": 42 * SECOND,
            **one,
            "detail": {"score": Decimal("0.5")},
        },
    ]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "record.jsonl"
    path.write_text("".join(exact_json(each) + "\n" for each in events()) + "torn\n")
    return path


def test_it_sums_up_by_agent_and_version(log) -> None:
    found = report(log)
    assert (found.events, found.torn) == (len(events()), 1)
    (sums,) = found.agents
    said = sums.document()
    assert (said["agent"], said["version"], said["owner"]) == ("billing", "3", "dana@acme.example")
    for name in ("runs", "calls", "refused", "shadowed", "would_run", "errors", "loops"):
        assert said[name] == 1, name
    assert (said["approvals_asked"], said["approved"], said["seconds_waited"]) == (1, 1, 30)
    assert (said["usd_per_run"], said["usd_per_completed_task"]) == (Decimal("0.5"),) * 2
    assert (said["feedback"], said["score"]) == (1, Decimal("0.5"))
    assert said["refusals_by_rule"] == {"limits": 1}
    assert said["refusals_by_code"] == {"denied": 1}
    assert said["outcomes"] == {"completed": 1}


def test_what_came_before_the_time_says_only_the_version(log) -> None:
    (sums,) = report(log, since=35 * SECOND).agents
    assert (sums.version, sums.runs, sums.calls, sums.approved) == ("3", 0, 0, 1)


@settings(max_examples=20)
@given(name=st.text(max_size=20), owner=st.text(max_size=20))
def test_no_text_is_a_formula_or_a_tag(name, owner) -> None:
    for text in (name, f"={name}", f"@{name}", f"<script>{name}"):
        sums = AgentSums(text, "1", owner)
        rows = list(csv.reader(io.StringIO(csv_of([sums]))))
        assert len(rows) == 2
        assert len(rows[0]) == len(rows[1])
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in rows[1][:3])
        assert "<script>" not in page_of([sums], since=0, title=owner)


def test_the_command_writes_every_form(log, tmp_path) -> None:
    args = ["report", "--log", str(log), "--html", str(tmp_path / "r.html")]
    done = CliRunner().invoke(app, [*args, "--csv", str(tmp_path / "r.csv"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["agents"][0]["calls"] == 1
    assert "billing@3" in (tmp_path / "r.html").read_text("utf-8")
    assert (tmp_path / "r.csv").read_text("utf-8").splitlines()[1].startswith("billing,3,")
    done = CliRunner().invoke(
        app, ["report", "--log", str(log), "--to", "owner", "--out", str(tmp_path / "o")]
    )
    assert done.exit_code == 0, done.output
    assert {each.suffix for each in (tmp_path / "o").iterdir()} == {".html", ".csv"}
    assert CliRunner().invoke(app, ["report", "--log", str(log), "--since", "soon"]).exit_code == 2


def test_what_is_said_of_a_run_is_recorded() -> None:
    governor = gr.testing.governor()
    with gr.run("tester", governor=governor) as run:
        run.outcome("completed", score=0.9)
    run.feedback("fine", score=1, by="dana@acme.example")
    told = {event.kind: event.detail for event in governor.record.events}
    assert told["run.outcome"] == {"outcome": "completed", "score": Decimal("0.9")}
    assert told["run.feedback"] == {"score": 1, "text": "fine", "by": "dana@acme.example"}


@pytest.mark.parametrize(
    "say",
    [
        lambda run: run.outcome("not a word"),
        lambda run: run.outcome(""),
        lambda run: run.outcome("done", score=2),
        lambda run: run.outcome("done", score=float("nan")),
        lambda run: run.outcome("done", score=True),
        lambda run: run.outcome("done", score=10**5000),
        lambda run: run.outcome("done", score=Decimal("sNaN")),
        lambda run: run.feedback(),
        lambda run: run.feedback(" "),
        lambda run: run.feedback("x" * 4_001),
        lambda run: run.feedback("x", by=5),
    ],
)
def test_what_is_no_judgement_is_an_error_and_not_recorded(say) -> None:
    governor = gr.testing.governor()
    with gr.run("tester", governor=governor) as run, pytest.raises(gr.ConfigError):
        say(run)
    assert not {event.kind for event in governor.record.events} & {"run.outcome", "run.feedback"}


@pytest.mark.parametrize("text", ["1E+99999999", "-1E+99999999", "1e400", "1E-99999999"])
def test_a_number_that_nobody_spends_counts_as_none(tmp_path, text) -> None:
    path = tmp_path / "record.jsonl"
    line = exact_json(events()[8]).replace('"0.50"', text)
    assert text in line
    path.write_text(line + "\n")
    assert report(path).agents[0].usd.quantize(1) == 0


DAY = 24 * 60 * 60 * SECOND


def _written(path, told) -> None:
    path.write_text("".join(exact_json(each) + "\n" for each in told))


def test_calls_and_refusals_are_told_by_day(tmp_path) -> None:
    one = {"agent": "billing", "run_id": "r1"}
    told = [{"kind": "call.started", "time": 20_000 * DAY + at, **one} for at in range(3)]
    told.append({"kind": "call.refused", "time": 20_002 * DAY + DAY - 1, **one, "detail": {}})
    told += [{"kind": "call.shadowed", "time": 20_002 * DAY, **one, "detail": {}}] * 2
    _written(tmp_path / "r.jsonl", told)
    (sums,) = report(tmp_path / "r.jsonl").agents
    assert sums.document()["days"] == [
        {"time": 20_000 * DAY, "calls": 3, "refused": 0, "shadowed": 0},
        {"time": 20_001 * DAY, "calls": 0, "refused": 0, "shadowed": 0},
        {"time": 20_002 * DAY, "calls": 0, "refused": 1, "shadowed": 2},
    ]
    page = page_of([sums], since=0, title="x")
    assert "2024-10-04 00:00:00Z: 3 ran, 0 withheld, 0 refused" in page
    assert "2024-10-06 00:00:00Z: 0 ran, 2 withheld, 1 refused" in page


@settings(max_examples=50)
@given(times=st.lists(st.integers(0, 4_000), max_size=300), number=st.integers(1, 3))
def test_days_add_up_however_many_there_are(times, number) -> None:
    agents = [AgentSums(str(each), "1") for each in range(number)]
    for index, time in enumerate(times):
        agents[index % number].days.note(time * DAY + index, Day(time % 3))
    rows = [row for sums in agents for row in sums.document()["days"]]
    for name, kind in (("calls", Day.RAN), ("refused", Day.REFUSED), ("shadowed", Day.SHADOWED)):
        assert sum(row[name] for row in rows) == sum(time % 3 == kind for time in times)
    assert all(len(sums.document()["days"]) <= 100 for sums in agents)
    page_of(agents, since=0, title="x")


@settings(max_examples=20)
@given(order=st.permutations(range(3)))
def test_a_waiting_time_is_known_in_whatever_order_it_is_read(order) -> None:
    events = [
        {
            "kind": f"approval.{kind}",
            "time": at * SECOND,
            "agent": "a",
            "run_id": "r",
            "detail": {"request_id": request, "state": state},
        }
        for kind, at, request, state in (
            ("requested", 5, "q", "pending"),
            ("approved", 11, "q", "approved"),
            ("requested", 7, "other", "pending"),
        )
    ]
    found = Report()
    for index in order:
        found.read(exact_json(events[index]).encode())
    (sums,) = found.agents
    assert (sums.waited, sums.answered) == (6, 1)


def test_who_answers_may_have_begun_before_who_asks(tmp_path) -> None:
    def line(kind, at, **more):
        return exact_json({"kind": kind, "time": at * SECOND, "agent": "a", "run_id": "r", **more})

    def asked(kind, at, state):
        return line(f"approval.{kind}", at, detail={"request_id": "q", "state": state})

    closed = '{"kind":"record.closed","root":"00"}'
    answers = [line("alert", 1), closed, asked("approved", 30, "approved"), closed]
    asks = [line("run.opened", 9, detail={"version": "3"}), asked("requested", 10, "pending")]
    for begun, stream, lines in ((1, "a" * 12, answers), (9, "b" * 12, asks)):
        name = f"20261128T01300{begun}Z-{stream}-000001.jsonl"
        (tmp_path / name).write_text("".join(f"{each}\n" for each in lines))
    (tmp_path / "streams.jsonl").write_text("{}\n")
    (sums,) = report(tmp_path).agents
    assert (sums.version, sums.waited, sums.answered, sums.approved) == ("3", 20, 1, 1)
