"""The matrix says of each scenario what its tests amount to, and a gap is a failure."""

import json

from tests.adapters.matrix import FAILS, GAP, HOLDS, PARTLY, cells, main
from tests.adapters.scenarios import Scenario


def noted(path, notes):
    path.write_text(
        "".join(
            json.dumps({"scenario": scenario, "outcome": outcome, "but": but}) + "\n"
            for scenario, outcome, but in notes
        ),
        "utf-8",
    )


def test_one_failure_outweighs_every_success(tmp_path):
    notes = [(Scenario.DENY, "passed", ""), (Scenario.DENY, "failed", "")]
    noted(tmp_path / "h.jsonl", notes)
    assert cells(tmp_path / "h.jsonl")[0][Scenario.DENY] == FAILS


def test_what_is_only_skipped_or_never_noted_is_a_gap(tmp_path, capsys):
    noted(tmp_path / "h.jsonl", [(Scenario.DENY, "skipped", "")])
    words, _ = cells(tmp_path / "h.jsonl")
    assert set(words.values()) == {GAP}
    assert main(tmp_path, ["h"]) == 1
    assert main(tmp_path, ["a host that has noted nothing"]) == 1
    assert capsys.readouterr().out.count(GAP) == 2 * len(Scenario)


def test_a_matrix_without_gaps_passes_and_names_every_limit(tmp_path, capsys):
    notes = [(each, "passed", "") for each in Scenario]
    noted(tmp_path / "h.jsonl", [*notes, (Scenario.KILL, "passed", "not in threads")])
    words, _ = cells(tmp_path / "h.jsonl")
    assert words[Scenario.KILL] == PARTLY
    assert {word for each, word in words.items() if each != Scenario.KILL} == {HOLDS}
    assert main(tmp_path, ["h"]) == 0
    assert "h: kill: not in threads" in capsys.readouterr().out
