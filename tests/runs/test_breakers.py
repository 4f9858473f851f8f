"""What breakers say is what a plain look at the whole history says, and no history costs memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from guardrails.model.breakers import OFF, Action, Breaker, Breakers
from guardrails.model.canonical import canonical
from guardrails.runs.breakers import MINUTE, Rounds, RunBreakers, fingerprint

SILENT = Breakers(repeat=OFF, cycle=OFF, tool_cycle=OFF, errors=OFF)
names = st.sampled_from("abc")
levels = st.builds(
    lambda given: Breaker(*given),
    st.tuples(*(st.none() | st.integers(low, low + 2) for low in (2, 5, 8))),
)


class Time:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def breakers(time=None, **settings):
    return RunBreakers("r", Breakers(**{**vars_of(SILENT), **settings}), time or Time())


def vars_of(values):
    return {name: getattr(values, name) for name in ("repeat", "cycle", "tool_cycle", "errors")}


def action_at(breaker, number):
    """The strictest level that `number` reaches."""
    for action in (Action.STOP, Action.ASK, Action.WARN):
        level = getattr(breaker, action.value)
        if level is not None and number >= level:
            return action
    return None


def said(reached):
    return {each.breaker: each.action for each in reached}


def plain_rounds(things, longest):
    """The most rounds of one order at the end of all `things`: tried out, each of them."""
    most = 1
    for length in range(2, longest + 1):
        block = things[-length:]
        if len(block) < length or len(set(block)) == 1:
            continue
        rounds = 1
        while things[-length * (rounds + 1) : len(things) - length * rounds] == block:
            rounds += 1
        most = max(most, rounds)
    return most


@given(st.lists(st.tuples(names, st.integers(0, 1)), max_size=60), levels, st.integers(1, 20))
def test_a_repeat_is_what_counting_the_last_calls_finds(calls, breaker, of):
    breaker = replace(breaker, of=of, ignore=frozenset("c"))
    its = breakers(repeat=breaker)
    history = []
    for tool, key in calls:
        if tool != "c":
            history.append((tool, key))
        number = Counter(history[-of:])[tool, key]
        expected = action_at(breaker, number) if tool != "c" else None
        reached = said(its.note(tool, key, own=True))
        assert reached == ({"repeat": expected} if expected else {})
        if expected is Action.STOP:
            break


@given(st.lists(names, max_size=60), st.integers(2, 6))
def test_rounds_are_what_trying_every_length_finds(things, longest):
    rounds = Rounds(longest)
    for count, thing in enumerate(things, 1):
        rounds.note(thing)
        number, length = rounds.found()
        assert number == plain_rounds(things[:count], longest)
        if number > 1:
            block = things[count - length : count]
            assert things[count - length * number : count] == block * number


@given(st.lists(names, min_size=2, max_size=4), st.integers(2, 6), levels, st.booleans())
def test_a_cycle_is_found_by_calls_and_by_tools(block, times, breaker, same_arguments):
    # By the tools alone wherever the arguments differ; by calls only where they do not.
    breaker = replace(breaker, of=4)
    its = breakers(cycle=breaker, tool_cycle=breaker)
    tools, calls = [], []
    for index, tool in enumerate(block * times):
        key = 7 if same_arguments else index
        tools.append(tool)
        calls.append((tool, key))
        expected = {
            name: action
            for name, history in (("cycle", calls), ("tool_cycle", tools))
            if (action := action_at(breaker, plain_rounds(history, 4)))
        }
        reached = said(its.note(tool, key, own=True))
        assert reached == expected
        if Action.STOP in reached.values():
            break


@given(
    st.lists(st.booleans(), max_size=60),
    st.integers(1, 8),
    st.sampled_from([Breaker(50, None, 100), Breaker(None, 40), Breaker(1, 60, 80), Breaker(30)]),
)
def test_the_rate_of_errors_is_that_of_the_last_calls(outcomes, of, breaker):
    breaker = replace(breaker, of=of)
    its = breakers(errors=breaker)
    for count, failed in enumerate(outcomes, 1):
        its.finished("a", failed=failed, micro_usd=0)
        last = outcomes[:count][-of:]
        expected = action_at(breaker, 100 * sum(last) / of) if len(last) == of else None
        assert said(its.look("a", 0, own=True)) == ({"errors": expected} if expected else {})
        if expected is Action.STOP:
            break


@given(
    st.lists(
        st.tuples(st.floats(0, 40), st.integers(0, 5), st.booleans()), min_size=1, max_size=40
    ),
    levels,
)
def test_spending_within_a_minute_is_the_sum_of_its_last_seconds(steps, breaker):
    time = Time()
    its = breakers(time, spend=breaker)
    history: list[tuple[int, int]] = []
    for pause, amount, in_call in steps:
        time.now += pause
        if in_call:
            its.finished("a", failed=False, micro_usd=amount)
        else:
            its.spent(amount)
        history.append((int(time.now), amount))
        number = sum(each for second, each in history if second > int(time.now) - MINUTE)
        expected = action_at(breaker, number)
        assert said(its.look("a", 0, own=True)) == ({"spend": expected} if expected else {})
        if expected is Action.STOP:
            break


@given(st.sampled_from([Breakers(), Breakers(spend=Breaker(stop=3))]))
def test_a_stop_holds_until_it_is_reset_and_then_all_begins_anew(settings):
    its = RunBreakers("r", settings, Time())
    for _ in range(100):
        its.finished("a", failed=True, micro_usd=1)
    (stop, *_) = [each for each in its.note("a", 0, own=True) if each.action is Action.STOP]
    assert its.tripped == stop
    assert its.note("b", 1, own=True) == its.look("c", 2, own=True) == (stop,)
    assert its.untold(stop)
    assert not its.untold(stop)
    its.reset()
    assert its.tripped is None
    assert its.note("a", 0, own=True) == ()
    assert its.untold(stop)


def test_calls_of_children_count_as_repeats_and_not_as_rounds():
    its = breakers(repeat=Breaker(warn=3, of=10), cycle=Breaker(warn=2, of=4))
    for _ in range(2):
        assert its.note("a", 0, own=False) == ()
        assert its.note("b", 0, own=False) == ()
    assert said(its.note("a", 0, own=False)) == {"repeat": Action.WARN}


def test_the_memory_of_breakers_is_what_they_look_back_at():
    its = RunBreakers("r", Breakers(spend=Breaker(stop=10**12)), time := Time())
    for index in range(5_000):
        time.now += 0.7
        its.note(f"tool{index % 9}", index, own=True)
        its.finished("a", failed=index % 9 == 0, micro_usd=1)
    assert len(its._calls) == len(its._counts) == its.settings.repeat.of
    assert len(its._failed) == its.settings.errors.of
    assert len(its._seconds) <= MINUTE
    assert its._spent == sum(amount for _, amount in its._seconds)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.decimals(-2, 2, places=1)
    | st.sampled_from(["", "a", "1", "-1", "true"])
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=4,
)


@given(documents, documents)
def test_documents_have_one_fingerprint_where_they_have_one_canonical_text(one, other):
    assert (fingerprint(one) == fingerprint(other)) is (canonical(one) == canonical(other))


def test_what_python_takes_for_equal_is_not_the_same_call():
    prints = [
        fingerprint({"a": value})
        for value in (True, 1, -1, -2, "1", Decimal("1.5"), [1], {"1": 1}, [], {}, None, "", 0)
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [Decimal("2.0")], "a": 1})
