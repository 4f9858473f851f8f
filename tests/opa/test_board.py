"""What a process shows of its bundles is seen while it lives, and never stops anything."""

from __future__ import annotations

import logging

from guardrails.opa.bundles.board import FOLDER, StatusBoard, posted
from guardrails.opa.bundles.status import BundleStatus
from guardrails.processes import Process

DAY = 86_400_000_000_000


def status() -> dict[str, BundleStatus]:
    return {"b": BundleStatus("b", active_revision="r1", last_successful_activation=1)}


def test_files_of_processes_that_are_gone_are_left_out_and_taken_away(tmp_path) -> None:
    for at, process in enumerate(
        (
            Process.current()._replace(started="1"),  # its id was given to another one
            Process.current()._replace(boot="before"),
            Process.current()._replace(namespace="another"),  # nobody can tell whether it lives
        )
    ):
        left = StatusBoard(tmp_path)
        left._process = process
        left.post(status, at)
    (found,) = posted(tmp_path, DAY)
    assert found.process.namespace == "another"
    assert found.bundles == ({**status()["b"].document()},)
    assert len(list((tmp_path / FOLDER).iterdir())) == 1

    mine = StatusBoard(tmp_path)
    mine.post(status, 3 * DAY)
    (file,) = (tmp_path / FOLDER).iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.process for each in posted(tmp_path, 3 * DAY)] == [Process.current()]
    mine.close()
    mine.post(status, 3 * DAY)
    assert not list((tmp_path / FOLDER).iterdir()), "after the end nothing is shown"


def test_what_is_no_status_says_nothing(tmp_path) -> None:
    (tmp_path / FOLDER).mkdir()
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"process": [], "at": 1, "bundles": []}')):
        (tmp_path / FOLDER / f"{name}.json").write_text(text)
    assert posted(tmp_path, 1) == ()


def test_what_cannot_be_written_is_said_once(tmp_path, caplog) -> None:
    (tmp_path / FOLDER).write_text("a file where the directory should be")
    board = StatusBoard(tmp_path)
    with caplog.at_level(logging.WARNING, "guardrails"):
        board.post(status, 1)
        board.post(status, 2)
    assert len(caplog.records) == 1
    assert "how bundles are is not shown" in caplog.text
