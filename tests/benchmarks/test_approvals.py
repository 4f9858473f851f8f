"""The part `approvals` measures lists that are whole, and approvals that are really used."""

from __future__ import annotations

from benchmarks import approvals
from benchmarks.approvals import GATES, measure_approvals

from guardrails.approvals import ApprovalService


def test_each_gate_has_its_figure(monkeypatch):
    listed, used = [], []

    class Watched(ApprovalService):
        def listed(self, state=None):
            found = super().listed(state)
            listed.append(len(found))
            return found

        def consume(self, *given, **options):
            after = super().consume(*given, **options)
            used.append(after.id)
            return after

    monkeypatch.setattr(approvals, "ApprovalService", Watched)
    outcomes, times = measure_approvals(rounds=2, pending=30, batch_ns=20_000)
    assert [each.gate for each in outcomes] == list(GATES)
    assert all(each.measured is not None and each.measured.median > 0 for each in outcomes)
    assert set(listed) == {30}
    assert len(set(used)) == len(used) == 2 * approvals._USES
    assert set(times) == {side for each in GATES for side in (each.variant, each.baseline)}
