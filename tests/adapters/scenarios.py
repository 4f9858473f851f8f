"""The nine scenarios that hold inside every host, and where a test notes which one it shows.

::

    @shows(Scenario.DENY)
    def test_the_model_reads_why(host): ...

    @shows(Scenario.KILL, but="a plain function in flight ends first; its result is discarded")
    def test_a_kill_ends_the_run_and_not_the_server(host): ...

``make test-adapters`` runs ``tests/adapters/NAME`` for every host, each in an environment of its
own, and prints what the marks amount to. A scenario that no test of a host shows is a gap, and
fails; one whose tests are all skipped is a gap, too.
"""

from __future__ import annotations

import enum

import pytest


class Scenario(enum.StrEnum):
    """What is shown inside a host; the value is the heading of its column."""

    ALLOW = "allow"
    """A permitted call runs once, and the model gets what the tool gave."""

    DENY = "deny"
    """A denied call does not run; the model reads why not, and what to do instead."""

    RESUME = "resume"
    """A call that needs approval is suspended, answered from another process, and made once."""

    REJECT = "reject"
    """A call that a person refuses never runs, and the model reads that."""

    EDIT = "edit"
    """A person changes the arguments: the call with the new ones runs, the old one does not."""

    BUDGET = "budget"
    """Of many calls at once exactly as many run as the budget has room for."""

    KILL = "kill"
    """A kill while calls are in flight ends the agent's run, and never the host's process."""

    LOST_CONTEXT = "context"
    """A call that has lost its run is refused; where the host moves it to a thread, it has one."""

    SCHEMA = "schema"
    """The model is shown the tool's name, description and parameters as they were."""


def shows(scenario: Scenario, *, but: str = "") -> pytest.MarkDecorator:
    """The mark of a test that shows `scenario`.

    Args:
        scenario: What it shows.
        but: What this host does not let us do of it; printed below the matrix.
    """
    return pytest.mark.scenario(scenario, but)
