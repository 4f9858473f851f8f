"""Gates: what passes, what is measured again, what is pending; nothing passes by its absence."""

from __future__ import annotations

import pytest
from benchmarks import governed, peer_calls, setups, tables
from benchmarks.catalogue import parts
from benchmarks.gates import TOLERANCE, Gate, Outcome, Status
from benchmarks.harness import Clock
from benchmarks.judging import AGAIN
from benchmarks.run import run
from benchmarks.statistics import Interval
from benchmarks.suite import Benchmark, Field, benchmarks
from benchmarks.variant import DisagreementError, variant
from benchmarks.variants import HOOKS, PENDING
from benchmarks.workload import Case
from hypothesis import given
from hypothesis import strategies as st

CASES = (Case("one", {"x": 1}, "allow", 2), Case("two", {"x": 2}, "deny", 1))
SIZES = st.floats(0.001, 1e6)


class Bench:
    """A benchmark of variants that take as long as they say, on a clock of their own."""

    def __init__(self, gates, absent=(), **nanoseconds):
        self.now = 0
        self.calls = dict.fromkeys(nanoseconds, 0)
        self.opened: list[object] = []
        variants = tuple(self.variant(name, each) for name, each in nanoseconds.items())
        there = Field(variants, dict.fromkeys(absent, "its reason"), CASES)

        def opens(_, wanted):
            self.opened.append(wanted)
            return there

        self.benchmark = Benchmark("bench", "a title", opens, None, gates)

    def variant(self, name, nanoseconds):
        def decide(document):
            self.calls[name] += 1
            taken = nanoseconds(self.calls[name]) if callable(nanoseconds) else nanoseconds
            self.now += taken
            return {"answer": document["x"]}

        return variant(name, decide)

    def run(self, **options):
        clock = Clock(lambda: self.now, lambda: self.now)
        return run(self.benchmark, rounds=10, batch_ns=1, clock=clock, **options)


@given(SIZES, SIZES)
def test_a_gate_holds_up_to_its_target_times_the_tolerance(target, median):
    gate = Gate("a", "b", target)
    assert gate.holds(Interval(median, 0, 1e9)) == (median <= target * TOLERANCE)


def test_a_gate_within_its_tolerance_passes_without_a_second_run():
    bench = Bench((Gate("a", "b", 1.0),), a=129, b=100)
    (outcome,) = bench.run().outcomes
    assert outcome.status is Status.PASSED
    assert outcome.measured == Interval(1.29, 1.29, 1.29)
    assert outcome.remark == ""


def test_a_gate_that_fails_is_measured_once_more_in_more_rounds():
    bench = Bench((Gate("a", "b", 1.0),), a=131, b=100, other=5)
    (outcome,) = bench.run().outcomes
    assert outcome.status is Status.FAILED
    assert outcome.remark == "measured again"
    # agreement, then finding the batch and ten rounds, then the same with more: three calls a pass
    assert bench.calls["a"] == 2 + 3 * (1 + 10 + 1 + 10 * AGAIN)
    assert bench.calls["other"] == 2 + 3 * (1 + 10)


def test_a_passing_hiccup_does_not_fail_a_gate():
    bench = Bench((Gate("a", "b", 1.0),), a=lambda call: 200 if call <= 40 else 100, b=100)
    (outcome,) = bench.run().outcomes
    assert outcome.status is Status.PASSED
    assert outcome.remark == "measured again"


@pytest.mark.parametrize("missing", ["a", "b"])
def test_a_gate_on_a_variant_that_is_not_there_fails(missing):
    there = {name: 100 for name in ("a", "b") if name != missing}
    bench = Bench((Gate("a", "b", 1.0),), absent=(missing,), **there)
    (outcome,) = bench.run().outcomes
    assert (outcome.status, outcome.measured) == (Status.FAILED, None)
    assert outcome.remark == "its reason"


def test_a_gate_on_a_variant_that_nobody_knows_fails():
    (outcome,) = Bench((Gate("misspelt", "b", 1.0),), b=1).run().outcomes
    assert outcome.status is Status.FAILED
    assert "misspelt" in outcome.remark


def test_a_gate_on_a_variant_declared_pending_is_pending(monkeypatch):
    monkeypatch.setattr("benchmarks.run.PENDING", {"later": "not made yet"})
    gates = (Gate("later", "b", 1.0), Gate("later, 10 rules", "b", 1.0))
    outcomes = Bench(gates, b=1).run().outcomes
    assert {outcome.status for outcome in outcomes} == {Status.PENDING}
    assert {outcome.remark for outcome in outcomes} == {"not made yet"}


def test_a_pending_variant_that_is_there_is_judged(monkeypatch):
    monkeypatch.setattr("benchmarks.run.PENDING", {"later": "not made yet"})
    (outcome,) = Bench((Gate("later", "b", 1.0),), later=200, b=100).run().outcomes
    assert outcome.status is Status.FAILED


def test_gates_alone_ask_for_the_variants_that_they_are_about():
    bench = Bench((Gate("a", "b", 1.0),), a=1, b=1)
    bench.run(only_gates=True)
    bench.run()
    assert bench.opened == [{"a", "b"}, None]


@pytest.mark.parametrize(
    ("decide", "said"),
    [
        (lambda document: {"answer": -document["x"]}, "`two`|`one`"),
        (lambda document: {"answer": bool(document["x"])}, "`one`"),
        (lambda document: document.update(y=1) or {"answer": document["x"]}, "changes its input"),
    ],
)
def test_variants_that_do_not_do_the_same_work_are_not_measured(decide, said):
    def opens(_, __):
        cases = tuple(Case(case.name, dict(case.input), case.effect, 1) for case in CASES)
        honest = variant("honest", lambda document: {"answer": document["x"]})
        return Field((honest, variant("other", decide)), {}, cases)

    with pytest.raises(DisagreementError, match=said):
        run(Benchmark("bench", "a title", opens, None, ()), rounds=1, batch_ns=1)


# ---------------------------------------------------------------------------- the suite, its tables


def test_the_suite_gates_what_was_promised():
    gates = {(each.name, gate.variant, gate.baseline): gate.target
             for each in benchmarks() for gate in each.gates}  # fmt: skip
    assert gates == {
        ("flat", "shaped", "hand-written"): 1.25,
        ("flat", "specialised", "hand-written"): 0.6,
        ("library", "shaped", "hand-written"): 2,
        ("library", "specialised", "hand-written"): 1,
        ("peers", "shaped", "regorus"): 1 / 30,
        ("peers", "shaped", "cedarpy handles"): 1 / 50,
        ("peers", "shaped", "regopy bundle"): 1 / 150,
        ("sidecar", "engine, TCP", "http.client, TCP"): 1,
        ("sidecar", "engine, Unix socket", "http.client, Unix socket"): 1,
        ("rules", "shaped, 1,000 rules", "shaped, 10 rules"): 3,
        ("packages", "shaped, 50 packages", "shaped, 1 package"): 1.5,
        ("grants", "shaped, 100,000 grants", "shaped, 100 grants"): 1.5,
        ("data", "shaped, 1,000,000 entries", "shaped, 100 entries"): 1.5,
    }


def test_whole_calls_are_gated_as_was_promised():
    gates = {(each.variant, each.baseline): (each.target, each.measure)
             for each in (*governed.GATES, *peer_calls.GATES, *setups.GATES)}  # fmt: skip
    assert gates == {
        ("sync", "hand-written flat"): (4, "time"),
        ("sync, leased from SQLite", "hand-written flat"): (4, "time"),
        ("async", "hand-written flat"): (4, "time"),
        (setups.DRAINED, "hand-written flat"): (8, "CPU"),
        (setups.SIDECAR, setups.BARE_HTTP): (1.3, "time"),
        ("@governed_tool", peer_calls.AGT): (1 / 30, "overhead"),
        ("@governed_tool", peer_calls.OPA): (1 / 100, "time"),
    }


def test_every_part_has_its_own_name_and_those_without_gates_are_known():
    found = parts()
    assert len({each.name for each in found}) == len(found)
    assert {each.name for each in found if not each.is_gated} == {"cold", "contention", "tail"}


def test_only_what_exists_can_be_pending():
    assert PENDING.keys() <= {*HOOKS, "warm start"}
    assert all(PENDING.values())


def test_tables_fit_a_screen_and_hide_nothing():
    bench = Bench(
        (Gate("a", "b", 1 / 30), Gate("gone", "b", 2)), absent=("gone",), a=123_456_789, b=100
    )
    report = bench.run()
    text = tables.decisions(report) + "\n" + tables.gates(report.outcomes)
    assert max(map(len, text.splitlines())) <= 100
    assert "not there: gone (its reason)" in text
    assert "1/30 of b" in text
    assert text.count("FAILED") == 2


def test_the_table_of_all_gates_fits_a_screen():
    wide = Interval(1234.56, 123.45, 12345.67)
    outcomes = [
        Outcome(each.name, gate, Status.FAILED, wide, "the compiler is not there yet: " * 5)
        for each in benchmarks()
        for gate in each.gates
    ]
    assert max(map(len, tables.gates(outcomes).splitlines())) <= 100
