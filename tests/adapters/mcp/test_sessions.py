"""One run a session: whose it is, when it begins and ends, and that no two principals share one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken

import guardrails as gr
from guardrails.adapters.mcp.sessions import Sessions
from guardrails.errors import RunStopped, StateUnavailable


def request(
    *, subject=None, client="app", issuer="https://login", version="2026-07-28", pipe=False
):
    """A request's context, as far as sessions look at it."""
    user = None
    if subject is not None:
        claims = {"iss": issuer}
        user = AuthenticatedUser(
            AccessToken(token="t", client_id=client, scopes=[], subject=subject, claims=claims)
        )
    http = None if pipe else SimpleNamespace(scope={"user": user}, headers={})
    return SimpleNamespace(protocol_version=version, request=http, session=None)


def sessions(**options):
    return Sessions(gr.testing.governor(), "billing-agent", **options)


def run_of(those, ctx):
    with those.entered(ctx) as run:
        assert gr.current_run() is run
        return run


def test_the_principal_is_the_tokens_subject():
    those = sessions()
    assert run_of(those, request(subject="dana")).principal == "dana"
    assert run_of(those, request()).principal is None


@pytest.mark.parametrize(
    "other",
    [
        request(subject="li"),
        request(subject="dana", client="another"),
        request(subject="dana", issuer="https://evil"),
        request(),
        request(pipe=True),
    ],
)
def test_no_two_principals_share_a_run(other):
    those = sessions()
    assert run_of(those, request(subject="dana")) is not run_of(those, other)


def test_one_principal_has_one_run_until_it_was_idle():
    those = sessions(idle=60.0)
    dana = request(subject="dana")
    first = run_of(those, dana)
    those.governor.clock.advance(59)
    assert run_of(those, dana) is first
    those.governor.clock.advance(61)
    second = run_of(those, dana)
    assert second is not first
    assert first.is_closed


def test_a_session_at_work_is_never_idle():
    those = sessions(idle=60.0)
    with those.entered(request(subject="dana")) as run:
        those.governor.clock.advance(3_600)
        run_of(those, request(subject="li"))
        assert not run.is_closed


def test_there_are_not_more_sessions_than_are_allowed():
    those = sessions(at_most=2)
    run_of(those, request(subject="a"))
    run_of(those, request(subject="b"))
    with pytest.raises(StateUnavailable):
        run_of(those, request(subject="c"))


def test_a_killed_run_is_refused_while_the_kill_holds_and_then_begins_anew():
    those = sessions()
    dana = request(subject="dana")
    first = run_of(those, dana)
    those.governor.kill("agent/billing-agent", reason="a test")
    with pytest.raises(RunStopped), those.entered(dana):
        gr.raise_if_killed()
    assert first.is_closed
    with pytest.raises(RunStopped):
        run_of(those, dana)
    those.governor.resume("agent/billing-agent", reason="a test")
    assert run_of(those, dana) is not first


def test_a_run_that_was_killed_itself_is_never_opened_again_by_its_id():
    those = sessions(run_id="r-1")
    dana = request(subject="dana")
    assert run_of(those, dana).id == "r-1"
    those.governor.kill("run/r-1", reason="a test")
    for _ in range(2):
        with pytest.raises(RunStopped), those.entered(dana):
            gr.raise_if_killed()


def test_a_killed_tool_ends_its_call_and_not_the_run():
    those = sessions()
    dana = request(subject="dana")
    first = run_of(those, dana)

    @gr.governed_tool(name="slow")
    def slow():
        raise AssertionError("it ran")

    those.governor.kill("tool/slow", reason="a test")
    with pytest.raises(RunStopped), those.entered(dana):
        slow()
    assert run_of(those, dana) is first


def test_a_session_does_not_leak_its_run_to_whoever_serves_it():
    those = sessions()

    async def main():
        with those.entered(request(subject="dana")):
            pass
        return gr.current_run()

    assert asyncio.run(main()) is None
    those.close()
    assert len(those) == 0
