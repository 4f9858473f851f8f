"""A bundle service in a process that forks: every child goes on to new revisions by itself."""

from __future__ import annotations

import os
import threading
import time

import pytest
from tests.opa.running import FIRST, SECOND, Decider, settings_of

from guardrails.opa.bundles.schedule import Polling
from guardrails.opa.bundles.service import BundleService

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def waited_for(decider: Decider, revision: str) -> bool:
    until = time.monotonic() + 30
    while revision not in decider.taken:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def forked(decider: Decider, service: BundleService, ready: int) -> int:
    """The id of a child that exits with 0 once it took the second revision."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.read(ready, 1)
            if waited_for(decider, "b=r2"):
                service.stop()
                code = 0
        finally:
            os._exit(code)
    return child


@pytest.mark.parametrize("held", [False, True], ids=["idle", "activating"])
def test_the_child_of_a_fork_takes_the_next_revision(held, server) -> None:
    server.serve("/bundles/b", FIRST)
    decider, entered, go_on = Decider(), threading.Event(), threading.Event()
    service = BundleService([settings_of(server, polling=Polling(1, 1))])

    def activate(bundles) -> None:
        if held and bundles.revision == "b=r2" and threading.current_thread() in service._threads:
            entered.set()
            if os.getpid() == parent:
                go_on.wait(30)
        decider(bundles)

    parent = os.getpid()
    service.start(activate)
    read, write = os.pipe()
    if held:
        server.serve("/bundles/b", SECOND)
        assert entered.wait(30), "the lock is held now, and forked while it is"
    child = forked(decider, service, read)
    server.serve("/bundles/b", SECOND)
    os.write(write, b"1")
    _, status = os.waitpid(child, 0)
    go_on.set()
    assert os.waitstatus_to_exitcode(status) == 0
    assert waited_for(decider, "b=r2"), "the parent goes on by itself"
    service.stop()
    os.close(read)
    os.close(write)


def test_a_service_that_was_stopped_asks_for_nothing_in_a_child(server) -> None:
    server.serve("/bundles/b", FIRST)
    service = BundleService([settings_of(server, polling=Polling(1, 1))])
    service.start(Decider())
    service.stop()
    child = os.fork()
    if child == 0:
        os._exit(threading.active_count() - 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
