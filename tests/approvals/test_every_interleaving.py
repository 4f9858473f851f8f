"""Every interleaving of a few people, time and the call, to the last, against a second spec.

The spec is written without a look at ``requests``: what was said, by whom and when, and what
follows from it. Both are walked side by side from the first moment through every order of
all actions, and have to agree on what is refused, on what stands, and on what may be used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from guardrails.approvals import requests
from guardrails.approvals.requests import AnswerRefused
from guardrails.errors import ApprovalExpired, ApprovalPending, ApprovalRejected
from guardrails.model.approval import Answer, ApprovalRequest, Escalation
from guardrails.model.decision import ApprovalDemand

SECOND = 1_000_000_000
TIMES = (0, 30, 60, 100)
ESCALATES, EXPIRES = 50, 100

GROUPS = {"ann": {"fin"}, "bob": {"fin"}, "dan": {"fin", "ops"}, "eve": {"boss"}, "req": {"fin"}}
PEOPLE = tuple(GROUPS)
WANTED = {"one": {"fin": 1}, "two": {"fin": 2}, "both": {"fin": 1, "ops": 1}}


@dataclass(frozen=True)
class Spec:
    """What was said so far.

    `yes` is who agreed, and when; `end` is the word that ended it, if anything did.
    """

    wanted: str
    yes: frozenset[tuple[str, int]] = frozenset()
    end: str = ""
    outcome: str = ""

    def may(self, person: str, group: str, when: int) -> bool:
        """The boss speaks for fin from the escalation on; who asks speaks for nobody."""
        if person == "req":
            return False
        return group in GROUPS[person] or (
            group == "fin" and "boss" in GROUPS[person] and when >= ESCALATES
        )

    def meets(self, wanted: str) -> bool:
        return all(
            sum(self.may(person, group, when) for person, when in self.yes) >= number
            for group, number in WANTED[wanted].items()
        )

    def stands(self) -> str:
        return self.end or ("approved" if self.meets(self.wanted) else "pending")

    def say(self, person: str, now: int, *, yes: bool) -> Spec | None:
        if self.end or now >= EXPIRES:
            return None
        if not any(self.may(person, group, now) for group in WANTED[self.wanted]):
            return None
        if not yes:
            return replace(self, end="rejected")
        if self.meets(self.wanted) or person in {who for who, _ in self.yes}:
            return None
        return replace(self, yes=self.yes | {(person, now)})

    def use(self, now: int, wanted: str, *, same_call: bool) -> Spec | type[Exception]:
        if not same_call or self.end in ("consumed", "rejected", "withdrawn"):
            return ApprovalRejected
        if self.end == "expired" or now >= EXPIRES:
            return ApprovalExpired
        if not (self.meets(self.wanted) and self.meets(wanted)):
            return ApprovalPending
        return replace(self, end="consumed")

    def end_by(self, word: str, now: int) -> Spec:
        if self.end or (word == "expired" and now < EXPIRES):
            return self
        return replace(self, end=word)

    def settle(self) -> Spec:
        if self.end != "consumed" or self.outcome:
            return self
        return replace(self, outcome="ok")


def demands(wanted):
    return tuple(
        ApprovalDemand(f"rule-{group}", "", (group,), number, EXPIRES)
        for group, number in WANTED[wanted].items()
    )


def fresh(wanted):
    return requests.opened(
        "ap-1",
        "k",
        demands=demands(wanted),
        tool="pay",
        agent="billing",
        run_id="r",
        principal="req",
        args={},
        revision="v1",
        now=0,
        escalation=(Escalation("fin", ESCALATES, "boss"),),
    )


def said(request, person, now, *, yes):
    answer = Answer(person, frozenset(GROUPS[person]), yes, "", now * SECOND)
    try:
        return requests.answered(request, answer)
    except AnswerRefused:
        return None


def used(request, now, wanted, *, same_call):
    try:
        return requests.consumed(
            request, "k" if same_call else "other", demands(wanted), now * SECOND
        )
    except (ApprovalRejected, ApprovalExpired, ApprovalPending) as refused:
        return type(refused)


def aged(request, now):
    while (after := requests.aged(request, now * SECOND)) is not request:
        request = after
    return request


def moves(spec, request, now):
    """Each action's name, with what spec and code make of it; None or an error for a refusal."""
    for person in PEOPLE:
        for yes in (True, False):
            yield (
                f"{person} says {yes}",
                spec.say(person, now, yes=yes),
                said(request, person, now, yes=yes),
            )
    for wanted in WANTED:
        for same_call in (True, False):
            yield (
                f"use for {wanted}, {same_call}",
                spec.use(now, wanted, same_call=same_call),
                used(request, now, wanted, same_call=same_call),
            )
    yield "withdraw", spec.end_by("withdrawn", now), requests.withdrawn(request, now * SECOND, "")
    yield "look", spec.end_by("expired", now), aged(request, now)
    yield "settle", spec.settle(), requests.settled(request, "ok", now * SECOND)


def agree(spec, request):
    told = {(answer.by, answer.time // SECOND) for answer in request.answers if answer.approved}
    ends = [step.kind for step in request.steps if step.kind in ("consumed", "rejected")]
    assert request.state.value == spec.stands()
    assert told == spec.yes
    assert (request.outcome or "") == spec.outcome
    assert len(ends) <= 1, "it ended twice"
    assert requests.satisfied(request, request.demands) == spec.meets(spec.wanted)


@pytest.mark.parametrize("wanted", WANTED)
def test_code_and_spec_agree_in_every_order_of_events(wanted):
    frontier = {(Spec(wanted), 0): fresh(wanted)}
    seen = set(frontier)
    consumed = 0
    while frontier:
        reached = {}
        for (spec, time), request in frontier.items():
            now = TIMES[time]
            if time + 1 < len(TIMES):
                reached[spec, time + 1] = request
            for name, expected, found in moves(spec, request, now):
                if not isinstance(expected, Spec):
                    assert found is expected, (name, now, spec, found)
                    continue
                assert isinstance(found, ApprovalRequest), (name, now, spec, found)
                agree(expected, found)
                consumed += name.startswith("use")
                reached[expected, time] = found
        frontier = {key: request for key, request in reached.items() if key not in seen}
        seen |= frontier.keys()
    assert consumed, "no order led to a use: this would have shown nothing"
    assert len(seen) > 100
