"""What is read in part is decided as what is read whole, whatever stands in a line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from benchmarks.policies.reference import flat, library
from benchmarks.replaying import candidate_of, lines_of
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.replay.damage import BEYOND, DAMAGES, damaged
from tests.replay.records import STRICTER, event, inputs, shipped

from guardrails.audit.exact_json import exact_json
from guardrails.candidates import Candidate
from guardrails.engines.source import Policies
from guardrails.replay import Gap
from guardrails.replay.reading import PartOfLine, reader_of
from guardrails.replay.recorded import line_of
from guardrails.replay.replayer import Replayer
from guardrails.replay.replaying import Replay
from guardrails.replay.tally import Tally
from guardrails.replay.told import document_of

READ = (
    ("input.args.to", "input.agent.id", "input.run.remaining.usd"),
    ("input.args", "input.run.history[input.tool.name]"),
    (
        "input.run.steps[0].tool",
        "count(input.agent)",
        'object.get(input, ["args", "to", "deep"], 1)',
    ),
    ("input.args.to.deep.deeper", "input.run.signals", "input.principal", "input.tool"),
    ("time.now_ns()", "input.args.amount", "input.agent.unheard_of"),
    ("input.time", 'input.args["é"]', "input.run.mode"),
    ('input.args[""]', "input.call.id", 'object.get(input.args, "$unrecordable", 2)'),
    ("inner.agent with input as input.args", "input.agent.labels[_]", "input.run.ancestry[0]"),
    ("{key | _ = input.run[key]}", "input.tool.labels"),
    ("input.more", "input.tool.hidden", "input.run.spent"),
    ("input",),
    ("1",),
)
"""What policies read; each says all of it in the ids of its rules."""


def curious(at: int) -> Candidate:
    said = "\n".join(
        f'said contains sprintf("{at} %v", [value]) if value := {each}'
        for at, each in enumerate(READ[at])
    )
    text = f"""package guardrails

decision := {{
	"effect": "deny",
	"reasons": [{{"rule": rule, "reason": "said"}} | some rule in said],
	"approvals": [],
	"obligations": [],
}}

inner := input

said contains "always"

{said}
"""
    return Candidate(f"curious {at}", Policies({"p.rego": text}, {}))


@pytest.fixture(scope="module")
def replayers() -> list[tuple[Replayer, Replayer]]:
    """Of each candidate, what reads in part and what reads whole."""
    candidates = [candidate_of(flat()), shipped(), shipped(STRICTER)]
    candidates += map(curious, range(len(READ)))
    loaded = [each.engine().loaded for each in candidates]
    made = [(Replayer(each), Replayer(each)) for each in loaded]
    for _, whole in made:
        whole._read = line_of
    return made


def told(replayer: Replayer, lines: list[bytes]) -> str:
    tally = Tally()
    for at, raw in enumerate(lines):
        replayer.note(raw, (0, at), tally)
    examples = [(key, [each.input for each in found]) for key, found in tally.examples.items()]
    return exact_json([document_of(Replay("log", "it", "r", tally)), sorted(examples, key=str)])


ENGINE = shipped().engine()
LINES = [exact_json(event(ENGINE, each, at)).encode() + b"\n" for at, each in enumerate(inputs())]
PLACES: list[tuple[str, ...]] = [
    ("agent",),
    ("agent", "id"),
    ("agent", "labels"),
    ("agent", "unheard_of"),
    ("args",),
    ("args", "to"),
    ("args", "amount"),
    ("args", "é"),
    ("args", ""),
    ("args", "note"),
    ("args", "$unrecordable"),
    ("call",),
    ("more",),
    ("principal",),
    ("run",),
    ("run", "history"),
    ("run", "remaining"),
    ("run", "remaining", "usd"),
    ("run", "signals"),
    ("run", "steps"),
    ("run", "spent"),
    ("time",),
    ("tool",),
    ("tool", "name"),
]
VALUES = st.one_of(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.decimals(allow_nan=False, allow_infinity=False, places=2)
        | st.text(max_size=3)
        | st.sampled_from(["\ud800", "\udc00\ud800", "é", "1.0", 2**63, 2**64, -1]),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["to", "deep", "deeper", "usd", "id", "é", ""]), inner
            )
        ),
        max_leaves=4,
    ),
    st.just("gone"),
)
CHANGES = st.lists(st.tuples(st.sampled_from(PLACES), VALUES), max_size=3)
AROUND = st.lists(
    st.sampled_from(
        [
            {"masked": ["/input/args/to"]},
            {"erased": ["/input/agent/id", "/input/run/steps/0/tool"]},
            {"detail": {"narrowed_by": [{"id": "other"}]}},
            {"detail": {"narrowed_by": [inputs()[1]["agent"], inputs()[2]["agent"]]}},
            {"detail": {"narrowed_by": "x"}},
            {"detail": {"code": "x", "a": {"$unrecordable": "object"}}},
            {"policy": {"effect": "allow"}},
            {"effect": "perhaps"},
            {"effect": None},
            {"input": None},
            {"input": "sha256:00"},
            {"kind": "call.finished"},
            {"kind": ""},
        ]
    ),
    max_size=2,
)
TWICE = st.lists(
    st.tuples(
        st.sampled_from(["input", "agent", "id", "args", "to", "run", "remaining", "time", "kind"]),
        st.sampled_from([b"5", b"null", b'"x"', b"{}", b"[]", b'{"id":"x","id":"y"}', b"1.5"]),
        st.booleans(),
    ),
    max_size=2,
)


def changed(line: bytes, changes: Any, around: Any, twice: Any) -> bytes:
    found = json.loads(line)
    for path, value in changes:
        at = found["input"]
        for name in path[:-1]:
            at = at.get(name)
            if type(at) is not dict:
                break
        else:
            at[path[-1]] = value
            if value == "gone":
                del at[path[-1]]
    for each in around:
        found.update(each)
    text = exact_json(found).encode() + b"\n"
    for name, value, is_before in twice:
        member = b'"' + name.encode() + b'":'
        at = text.find(member)
        if at >= 0 and is_before:
            text = text[:at] + member + value + b"," + text[at:]
        elif at >= 0:
            text = text.replace(b"}", b"," + member + value + b"}", 1)
    return text


@settings(max_examples=300, deadline=None)
@given(
    made=st.lists(
        st.tuples(st.sampled_from(LINES), CHANGES, AROUND, TWICE, st.just([]) | DAMAGES),
        min_size=1,
        max_size=3,
    )
)
def test_a_record_comes_to_the_same(replayers, made) -> None:
    lines = [damaged(changed(*parts), damages) for *parts, damages in made]
    lines = [each for each in lines if BEYOND not in each]
    for in_part, whole in replayers:
        assert told(in_part, lines) == told(whole, lines)


@pytest.mark.parametrize("policy", [flat(), library()], ids=["flat", "library"])
def test_most_of_a_line_is_passed_over(policy) -> None:
    engine = candidate_of(policy).engine()
    read = reader_of(engine.loaded.shape, engine.loaded.decider.reads)
    for raw in lines_of(policy, engine):
        line = read(raw)
        whole = line_of(raw)
        assert isinstance(line, PartOfLine)
        assert whole is not None
        assert set(line.input) == {"agent", "tool", "args", "run", "time"}
        assert set(line.input["run"]) == {"remaining"}
        assert line.input["run"]["remaining"] == whole.input["run"]["remaining"]
        for name in ("kind", "effect", "reasons", "agent", "tool", "time", "revision"):
            assert getattr(line, name) == getattr(whole, name)


@pytest.mark.parametrize("at", range(len(READ)))
def test_what_may_be_read_is_there(at) -> None:
    """As it stands in the whole input, with all that is below it."""
    loaded = curious(at).engine().loaded
    read = reader_of(loaded.shape, loaded.decider.reads)
    args = {"to": {"deep": {"deeper": "1.0"}, "other": 1.5}, "": 1, "é": [2], "amount": 2**70}
    for document in inputs():
        raw = exact_json(event(ENGINE, {**document, "args": args})).encode() + b"\n"
        line, whole = read(raw), line_of(raw)
        assert line is not None
        assert whole is not None
        reads = loaded.decider.reads
        assert reads is not None
        for path in (*reads.whole, *reads.looked_up, ("time",)):
            assert below(line.input, path) == below(whole.input, path)


def below(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if type(value) is dict else None
    return exact_json(value)


@pytest.mark.parametrize("number", [BEYOND, b"1" * 5_000])
def test_a_number_that_nothing_holds_is_passed_over_where_nobody_reads(number) -> None:
    line = LINES[0].replace(b'"steps":[', b'"steps":[%b,' % number)
    assert line != LINES[0]
    assert line_of(line) is None
    tally = Tally()
    Replayer(curious(0).engine().loaded).note(line, (0, 0), tally)
    assert (tally.torn, tally.decisions, tally.flips) == (0, 1, 1)
    assert [each.input for found in tally.examples.values() for each in found] == [None] * 3
    tally = Tally()
    Replayer(curious(2).engine().loaded).note(line, (0, 0), tally)
    assert (tally.torn, tally.decisions) == (1, 0)


@pytest.mark.parametrize(
    "piece",
    [
        b'"\xff"',
        b'"\xc3"',
        b"01",
        b"1.",
        b"tru",
        b'"\\x"',
        b'"\x01"',
        b"NaN",
        b"[1,]",
        b"{1:2}",
        b"]",
    ],
)
def test_what_is_passed_over_is_json_all_the_same(piece, replayers) -> None:
    line = LINES[0].replace(b'"steps":[', b'"steps":[%b,' % piece)
    for torn in (line, LINES[0][:-1]):
        assert line_of(torn) is None
        for in_part, _ in replayers:
            tally = Tally()
            in_part.note(torn, (0, 0), tally)
            assert (tally.torn, tally.events) == (1, 1)


def test_an_example_holds_the_whole_input() -> None:
    tally = Tally()
    for at, raw in enumerate(LINES):
        Replayer(curious(0).engine().loaded).note(raw, (0, at), tally)
    shown = {each.place: each.input for found in tally.examples.values() for each in found}
    assert shown
    for (_, at), document in shown.items():
        whole = line_of(LINES[at])
        assert whole is not None
        assert document == whole.input


def test_what_is_hidden_hinders_as_before() -> None:
    line = LINES[0].replace(b'"kind"', b'"masked":["/input/args/to"],"kind"', 1)
    tally = Tally()
    Replayer(curious(0).engine().loaded).note(line, (0, 0), tally)
    assert tally.gaps == {Gap.HIDDEN: 1}
