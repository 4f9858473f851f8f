"""Whose runs an adapter opens is said once, or twice the same."""

import pytest

from guardrails.adapters.agent_runs import AgentRuns, runs_of
from guardrails.errors import ConfigError


def test_an_agent_has_the_runs_of_its_register_or_those_that_are_given():
    assert runs_of("billing-agent", None) == AgentRuns(agent="billing-agent")
    given = AgentRuns(agent="billing-agent", mode="shadow", wait=3)
    assert runs_of("billing-agent", given) is given


def test_runs_of_another_agent_are_an_error_where_they_are_given():
    with pytest.raises(ConfigError, match="`admin-agent` are no runs of `billing-agent`"):
        runs_of("billing-agent", AgentRuns(agent="admin-agent"))
