"""Policies that are edited: read once they stay the same; a broken one replaces no good one."""

from __future__ import annotations

import logging
import os
import threading

import pytest

from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.layers import PolicyFiles
from guardrails.engines.reloading import Reloader, look
from guardrails.errors import PolicyLoadError
from guardrails.model.decision import Effect

NEVER = 3600.0
"""Seconds between looks where the test looks itself."""


def rego(effect: str) -> str:
    return (
        "package guardrails\n\n"
        f'decision := {{"effect": "{effect}", "reasons": [], "approvals": [], "obligations": []}}\n'
    )


@pytest.fixture
def policies(tmp_path):
    (tmp_path / "main.rego").write_text(rego("allow"))
    return tmp_path


class Counted:
    """A reload that counts, and fails while it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None

    def __call__(self) -> bool:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return True


def touch(path, text) -> None:
    path.write_text(text)
    # Clocks of file systems are coarse; a later time is what an editor leaves.
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000))


def test_files_that_still_change_are_not_read(policies):
    reload = Counted()
    reloader = Reloader(reload, [policies], seconds=NEVER)
    for number in range(5):
        touch(policies / "main.rego", f"# half {number}\n" * number)
        assert not reloader.check()
    assert reload.calls == 0
    assert reloader.check(), "it stayed as it was from one look to the next"
    assert not reloader.check()
    assert reload.calls == 1
    reloader.close()


def test_nothing_is_read_while_nothing_changes(policies):
    reload = Counted()
    reloader = Reloader(reload, [policies], seconds=NEVER)
    (policies / "notes.txt").write_text("no policy")
    for _ in range(3):
        assert not reloader.check()
    assert reload.calls == 0
    reloader.close()


@pytest.mark.parametrize("change", ["new", "gone", "moved", "data"])
def test_every_change_of_the_files_counts(policies, change):
    (policies / "more").mkdir()
    (policies / "more" / "b.rego").write_text("package b\n")
    before = look([policies])
    if change == "new":
        (policies / "more" / "c.rego").write_text("package c\n")
    elif change == "gone":
        (policies / "more" / "b.rego").unlink()
    elif change == "moved":
        (policies / "more" / "b.rego").rename(policies / "b.rego")
    else:
        (policies / "more" / "data.yaml").write_text("a: 1\n")
    assert look([policies]) != before


def test_a_broken_edit_is_told_once_with_its_place_and_changes_nothing(policies, caplog):
    engine = InProcessEngine(PolicyFiles((policies,)), dict, cache=None)
    reloader = Reloader(engine.reload, [policies], seconds=NEVER)
    good = engine.revision
    touch(policies / "main.rego", "package guardrails\n\ndecision := {\n")
    with caplog.at_level(logging.ERROR, "guardrails"):
        for _ in range(4):
            reloader.check()
    told = [each.getMessage() for each in caplog.records]
    assert len(told) == 1
    assert "main.rego:" in told[0]
    assert engine.revision == good
    assert engine.decide({}, "d").effect is Effect.ALLOW
    # And the mended one decides.
    touch(policies / "main.rego", rego("deny"))
    reloader.check()
    assert reloader.check()
    assert engine.decide({}, "d").effect is Effect.DENY
    reloader.close()


def test_what_fails_is_tried_again_only_when_files_change(policies):
    reload = Counted()
    reload.error = PolicyLoadError("no", file="a.rego", row=3, col=1)
    reloader = Reloader(reload, [policies], seconds=NEVER)
    touch(policies / "main.rego", "package x\n")
    for _ in range(5):
        reloader.check()
    assert reload.calls == 1
    reloader.close()


def test_it_happens_by_itself_and_ends_when_it_is_closed(policies):
    done = threading.Event()

    def reload() -> bool:
        done.set()
        return True

    reloader = Reloader(reload, [policies], seconds=0.02)
    touch(policies / "main.rego", rego("deny"))
    assert done.wait(30)
    reloader.close()
    assert "guardrails-reload" not in [each.name for each in threading.enumerate()]


def test_a_directory_that_goes_away_and_comes_back_is_read_again(policies, tmp_path_factory):
    reload = Counted()
    reload.error = PolicyLoadError("there are no policies")
    reloader = Reloader(reload, [policies], seconds=NEVER)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "kept"
    policies.rename(elsewhere)
    reloader.check()
    reloader.check()
    assert reload.calls == 1
    reload.error = None
    elsewhere.rename(policies)
    reloader.check()
    assert reloader.check()
    reloader.close()
