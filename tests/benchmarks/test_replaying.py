"""The part `replay` measures a replay that decides every line, as it was decided."""

from benchmarks.policies.reference import flat, library
from benchmarks.replaying import GATES, candidate_of, lines_of, measure_replay

from guardrails.replay import Tally
from guardrails.replay.replayer import Replayer


def test_every_gate_is_measured() -> None:
    outcomes = measure_replay(rounds=2, batch_ns=20_000)
    assert [outcome.gate for outcome in outcomes] == list(GATES)


def test_what_is_measured_decides() -> None:
    for policy in (flat(), library()):
        candidate = candidate_of(policy)
        lines = lines_of(policy, candidate.engine())
        tally, replayer = Tally(), Replayer(candidate.engine().loaded)
        for line in lines:
            replayer.note(line, (0, 0), tally)
        assert tally.decisions == len(lines)
        assert (tally.flips, tally.reworded) == (0, 0)
        assert len(tally.effects) > 1
