"""What is generated from the results is what they give, and says so where it is not."""

from __future__ import annotations

import json
import shutil

import pytest
from benchmarks import report, results
from benchmarks.accounts import GATES as ACCOUNTS
from benchmarks.approvals import GATES as APPROVALS
from benchmarks.governed import GATES as CALLS
from benchmarks.imports import GATES as IMPORTS
from benchmarks.peer_calls import GATES as PEER_CALLS
from benchmarks.plots import plot
from benchmarks.record import GATES as RECORD
from benchmarks.setups import GATES as SETUPS
from benchmarks.suite import benchmarks

CURVE = {
    "name": "threads",
    "along": "threads of one run",
    "unit": "µs a call",
    "lines": {
        "calls": {
            str(size): {"median": 60.0 + size, "low": 59.0 + size, "high": 66.0 + size}
            for size in (1, 2, 4, 8, 16)
        }
    },
}


def gate(**changes):
    return {
        "benchmark": "calls",
        "variant": "sync",
        "baseline": "hand-written flat",
        "target": 4,
        "reached": 60,
        "reason": "a call does more",
        "measure": "time",
        "status": "passed",
        "measured": {"median": 51.3, "low": 50.0, "high": 52.0},
        "remark": "",
        **changes,
    }


@pytest.fixture
def tree(tmp_path):
    """A tree with results that have a curve, a README with a place, and all that is generated."""
    place = tmp_path / results.PLACE.relative_to(report.ROOT)
    place.parent.mkdir()
    found = json.loads(results.PLACE.read_text(encoding="utf-8"))
    found["curves"] = [CURVE, {**CURVE, "name": "tasks"}]
    found["gates"] = [gate(), gate(variant="async")]
    place.write_text(json.dumps(found), encoding="utf-8")
    shutil.copy(report.ROOT / report.README, tmp_path)
    report.write_all(tmp_path)
    return tmp_path


def test_the_files_of_this_tree_are_what_its_results_give():
    assert report.stale() == [], "run `make bench-report`"


def test_what_was_just_written_is_not_stale(tree):
    assert report.stale(tree) == []


@pytest.mark.parametrize(
    "place", ["README.md", "docs/benchmark-results.md", "docs/plots/threads.svg"]
)
def test_a_figure_that_somebody_changes_is_noticed(tree, place):
    text = (tree / place).read_text(encoding="utf-8")
    changed = text.replace("51.3", "4") if "svg" not in place else text.replace("16", "17", 1)
    assert changed != text
    (tree / place).write_text(changed, encoding="utf-8")
    assert report.stale(tree) == [place]


def test_results_that_change_make_all_of_them_stale(tree):
    place = tree / results.PLACE.relative_to(report.ROOT)
    found = json.loads(place.read_text(encoding="utf-8"))
    found["date"] = "2031-01-01T00:00:00+00:00"
    place.write_text(json.dumps(found), encoding="utf-8")
    assert len(report.stale(tree)) == 4


def test_a_plot_that_is_gone_and_one_of_nothing_are_noticed(tree):
    (tree / "docs/plots/threads.svg").rename(tree / "docs/plots/old.svg")
    assert report.stale(tree) == ["docs/plots/old.svg", "docs/plots/threads.svg"]


def test_a_readme_without_the_place_is_an_error_that_says_so(tree):
    (tree / "README.md").write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="benchmarks: begin"):
        report.write_all(tree)


def test_the_rest_of_the_readme_stays_as_it_is(tree):
    ours = (report.ROOT / "README.md").read_text(encoding="utf-8")
    made = (tree / "README.md").read_text(encoding="utf-8")
    for text in (ours, made):
        assert text.count(report.BEGIN) == text.count(report.END) == 1
    assert made.partition(report.BEGIN)[0] == ours.partition(report.BEGIN)[0]
    assert made.partition(report.END)[2] == ours.partition(report.END)[2]


def test_a_missed_target_stands_with_what_is_reached_and_the_reason_once():
    found = json.loads(results.PLACE.read_text(encoding="utf-8"))
    found["gates"] = [gate(), gate(variant="async")]
    text = report.table(found)
    assert "| 4 × hand-written flat | 51.3 | missed (1) |" in text
    assert text.count("a call does more") == 1
    assert all(
        each in text for each in (found["machine"]["cpu"], found["python"], found["date"][:10])
    )


def test_microseconds_stand_above_the_table_for_all_that_was_measured():
    found = json.loads(results.PLACE.read_text(encoding="utf-8"))
    found["benchmarks"]["calls"]["variants"]["sync"]["p50"] = 1234.5e3
    found["benchmarks"]["flat"]["variants"]["shaped"]["p50"] = 1034.5
    del found["benchmarks"]["library"]
    first = report.table(found).partition("\n")[0]
    assert "a decision by a policy of one package **1.0**" in first
    assert "a whole governed call **1,234**" in first
    assert "library" not in first


def test_a_gate_that_passes_by_its_tolerance_has_missed_its_target_all_the_same():
    found = json.loads(results.PLACE.read_text(encoding="utf-8"))
    found["gates"] = [gate(target=50, reached=None, reason="")]
    assert "| missed |" in report.table(found)
    found["gates"] = [gate(target=52, reached=None, reason="")]
    assert "| met |" in report.table(found)


def test_the_same_results_give_the_same_plot_byte_for_byte():
    first, again = plot(CURVE, "a machine"), plot(CURVE, "a machine")
    assert first == again
    assert "<dc:date>" not in first
    assert "threads of one run" in first


def test_every_target_that_is_known_to_be_missed_has_its_reason():
    parts = (ACCOUNTS, APPROVALS, CALLS, IMPORTS, PEER_CALLS, RECORD, SETUPS)
    gates = [each for part in parts for each in part]
    gates += [each for benchmark in benchmarks() for each in benchmark.gates]
    assert len(gates) > 20
    for each in gates:
        assert (each.reached is not None) == bool(each.reason), each
        assert each.reached is None or each.reached > each.target


def test_every_figure_above_the_table_is_one_that_there_is():
    found = json.loads(results.PLACE.read_text(encoding="utf-8"))
    for part, variant, _ in report.ABSOLUTE:
        assert variant in found["benchmarks"][part]["variants"]


def test_every_row_of_the_readme_is_a_gate_that_there_is():
    known = {("calls", each.variant) for each in CALLS}
    known |= {("peer-calls", each.variant) for each in PEER_CALLS}
    known |= {("setups", each.variant) for each in SETUPS}
    known |= {("imports", each.variant) for each in IMPORTS}
    known |= {("record", each.variant) for each in RECORD}
    known |= {(part.name, each.variant) for part in benchmarks() for each in part.gates}
    assert {(part, variant) for part, variant, _ in report.TARGETS} <= known
