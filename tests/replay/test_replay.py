"""A replay says of every recorded decision what the candidate's engine says, or why it cannot."""

import json
import random
import time
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.replay.records import STRICTER, event, inputs, shipped, written

from guardrails.audit.exact_json import exact_json
from guardrails.enforcement.deciding import combine
from guardrails.errors import ConfigError, GuardrailsError
from guardrails.model.decision import Decision, MalformedDecision
from guardrails.replay import Gap, replay
from guardrails.replay.counts import OTHERS, ByName
from guardrails.replay.parts import Part, parts_of
from guardrails.replay.replayer import Replayer
from guardrails.replay.tally import Flips, Tally
from guardrails.replay.told import document_of
from guardrails.replay.verdict import _key, _verdict


@pytest.fixture(scope="module")
def now():
    return shipped()


@pytest.fixture(scope="module")
def engine(now):
    return now.engine()


@pytest.fixture(scope="module")
def record(engine, tmp_path_factory):
    documents = inputs() * 20
    random.Random(1).shuffle(documents)
    events = [event(engine, document, at) for at, document in enumerate(documents)]
    return written(tmp_path_factory.mktemp("record") / "record.jsonl", events)


def test_the_policy_that_decided_flips_nothing(now, record) -> None:
    tally = replay(record, now, workers=1).tally
    assert tally.decisions == tally.events == 20 * len(inputs())
    assert (tally.flips, tally.reworded, tally.unreplayed, tally.torn) == (0, 0, 0, 0)


def test_a_candidate_is_told_as_its_engine_decides(record) -> None:
    candidate = shipped(STRICTER)
    other = candidate.engine()
    text = record.read_text().splitlines()
    lines = [json.loads(line, parse_float=Decimal) for line in text]
    expected = Counter(
        (line["effect"], other.decide(line["input"], "").effect.value) for line in lines
    )
    found = replay(record, candidate, workers=1)
    assert found.tally.effects == expected
    assert found.tally.flips > 0
    assert found.tally.loosened == 0
    assert found.tally.rules.rows["no_mail"].newly == found.tally.flips
    assert {row["tool"] for row in document_of(found)["tools"] if row["flips"]} == {"send_mail"}


def test_the_way_back_is_told_as_looser(record, now, tmp_path) -> None:
    strict = shipped(STRICTER).engine()
    events = [event(strict, document) for document in inputs()]
    tally = replay(written(tmp_path / "r.jsonl", events), now, workers=1).tally
    assert tally.loosened == tally.flips > 0


def test_several_processes_tell_what_one_tells(record, monkeypatch) -> None:
    monkeypatch.setattr(parts_of, "__defaults__", (50_000,))
    candidate = shipped(STRICTER)
    seen = []

    def told(*bytes_done) -> None:
        seen.append(bytes_done)
        time.sleep(0.15)  # so that the other process does most of it

    several = replay(record, candidate, workers=2, progress=told)
    assert len(seen) > 2
    assert seen[-1][0] == seen[-1][1] == record.stat().st_size
    assert document_of(several) == document_of(replay(record, candidate, workers=1))


def test_what_fails_in_another_process_is_told_here(record, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(parts_of, "__defaults__", (50_000,))
    candidate = shipped()
    copy = tmp_path / "record.jsonl"
    copy.write_bytes(record.read_bytes())
    told = []

    def gone(done, whole) -> None:
        told.append(done)
        copy.unlink(missing_ok=True)

    with pytest.raises(GuardrailsError, match="cannot be read"):
        replay(copy, candidate, workers=2, progress=gone)
    assert told


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        (lambda found: found.pop("input"), Gap.NO_INPUT),
        (lambda found: found.update(input="sha256:00"), Gap.NO_INPUT),
        (lambda found: found.update(effect="perhaps"), Gap.UNKNOWN_EFFECT),
        (lambda found: found.update(masked=["/input/args/to"]), Gap.HIDDEN),
        (lambda found: found.update(erased=["/input/args/to"]), Gap.HIDDEN),
        (lambda found: found.update(detail={"narrowed_by": [{"id": 5}]}), Gap.NARROWED),
        (lambda found: found.update(detail={"narrowed_by": "x"}), Gap.NARROWED),
        (
            lambda found: found["input"].update(args={"a": [{"$unrecordable": "object"}]}),
            Gap.UNRECORDABLE,
        ),
    ],
)
def test_what_cannot_be_replayed_is_counted_and_named(change, gap, engine, now, tmp_path) -> None:
    changed = event(engine, inputs()[0])
    changed["input"] = dict(changed["input"])
    change(changed)
    log = written(tmp_path / "r.jsonl", [changed, event(engine, inputs()[1])])
    found = replay(log, now, workers=1)
    assert found.tally.gaps == {gap: 1}
    assert found.tally.decisions == 1
    told = document_of(found)["unreplayed"]
    places = told[gap.value].pop("places", None)
    assert told == {gap.value: {"decisions": 1, "because": gap.words}}
    hidden = [{"pointer": "/input/args/to", "decisions": 1}]
    assert places == (hidden if gap is Gap.HIDDEN else None)


def test_what_is_hidden_outside_of_the_input_hinders_nothing(engine, now, tmp_path) -> None:
    hidden = {**event(engine, inputs()[0]), "masked": ["/detail/message"]}
    assert replay(written(tmp_path / "r", [hidden]), now, workers=1).tally.decisions == 1


def test_what_is_hidden_hinders_only_who_may_read_it(engine, now, tmp_path) -> None:
    """The library reads arguments and no step; a policy that reads one is told of."""
    changed = {**event(engine, inputs()[0]), "masked": ["/input/run/steps/0/tool"]}
    log = written(tmp_path / "r", [changed])
    assert replay(log, now, workers=1).tally.decisions == 1
    curious = (
        'package guardrails.rules.curious\n\ndeny contains "no" if input.run.steps[0].tool == "x"'
    )
    assert replay(log, shipped(curious), workers=1).tally.gaps == {Gap.HIDDEN: 1}


@pytest.mark.parametrize(
    "pointer",
    [
        "/input",
        "",
        "/input/agent/id",
        "/input/time",
        "/detail/narrowed_by/0/id",
        "/input/args/[redacted:name:00]",
        "/input/args/a~1b",
    ],
)
def test_what_may_be_read_is_not_replayed(pointer, engine, now, tmp_path) -> None:
    changed = {**event(engine, inputs()[0]), "masked": [pointer]}
    assert replay(written(tmp_path / "r", [changed]), now, workers=1).tally.gaps == {Gap.HIDDEN: 1}


def test_a_call_that_was_decided_for_several_agents_is_so_again(engine, now, tmp_path) -> None:
    documents = inputs()
    seen = set()
    for document in documents:
        for other in documents:
            agent = other["agent"]
            both = (document, {**document, "agent": agent})
            found = combine([engine.decide(each, "") for each in both])
            line = event(engine, document)
            line["effect"] = found.effect.value
            line["reasons"] = [each._asdict() for each in found.reasons]
            line["approvals"] = [{"rule": each.rule} for each in found.approvals]
            line["detail"] = {"narrowed_by": [agent]}
            seen.add(exact_json(line))
    log = tmp_path / "r.jsonl"
    log.write_text("".join(f"{line}\n" for line in sorted(seen)), encoding="ascii")
    tally = replay(log, now, workers=1).tally
    assert tally.decisions == len(seen)
    assert (tally.flips, tally.reworded) == (0, 0)


def test_an_argument_that_looks_like_a_gap_elsewhere_in_the_line_is_none(
    engine, now, tmp_path
) -> None:
    tricky = event(engine, inputs()[0])
    tricky["detail"] = {"message": {"$unrecordable": "object"}}
    assert replay(written(tmp_path / "r", [tricky]), now, workers=1).tally.decisions == 1


def test_torn_lines_and_calls_without_a_decision_are_counted(engine, now, tmp_path) -> None:
    whole = event(engine, inputs()[0])
    log = written(tmp_path / "r.jsonl", [whole, {"kind": "call.refused", "detail": {"code": "x"}}])
    with log.open("ab") as file:
        file.write(b'{"kind": "call.sta\n\n\xff\n{"kind": 5}\n' + b'{"kind":"call.finished"}')
    tally = replay(log, now, workers=1).tally
    assert (tally.events, tally.decisions, tally.undecided, tally.torn) == (6, 1, 1, 4)


def test_half_of_a_surrogate_pair_is_replayed_as_it_was_decided(engine, now, tmp_path) -> None:
    document = {**inputs()[0], "args": {"text": "\ud800"}}
    tally = replay(written(tmp_path / "r", [event(engine, document)]), now, workers=1).tally
    assert (tally.decisions, tally.flips) == (1, 0)


def test_what_policy_said_counts_not_what_a_decorator_made_of_it(engine, now, tmp_path) -> None:
    said = event(engine, inputs()[0])
    assert said["effect"] == "allow"
    tightened = {
        **said,
        "effect": "require_approval",
        "approvals": [{"rule": "decorator"}],
        "policy": {"effect": "allow", "reasons": said["reasons"], "approvals": []},
    }
    tally = replay(written(tmp_path / "r", [tightened]), now, workers=1).tally
    assert (tally.decisions, tally.flips, tally.reworded) == (1, 0, 0)


def test_the_time_of_a_replay_is_that_of_the_record(tmp_path) -> None:
    rule = """package guardrails.rules.late

deny contains "late" if time.now_ns() != input.time
"""
    candidate = shipped(rule)
    events = [event(shipped().engine(), document) for document in inputs()]
    tally = replay(written(tmp_path / "r", events), candidate, workers=1).tally
    assert (tally.decisions, tally.flips) == (len(events), 0)


def test_a_candidate_that_fails_refuses(tmp_path) -> None:
    rule = """package guardrails.rules.broken

deny contains "no" if to_number(input.tool.name) == 1
"""
    events = [event(shipped().engine(), document) for document in inputs()]
    tally = replay(written(tmp_path / "r", events), shipped(rule), workers=1).tally
    assert {becomes for _, becomes in tally.effects} == {"error"}
    assert tally.loosened == 0


def test_another_register_replaces_what_inputs_say_of_agents(engine, now, tmp_path) -> None:
    document = inputs()[0]
    log = written(tmp_path / "r", [event(engine, document)])
    unknown = replay(log, now, agents={"somebody": {}}, workers=1).tally
    assert unknown.gaps == {Gap.UNKNOWN_AGENT: 1}
    rule = """package guardrails.rules.tried

deny contains "not tried" if not "tried" in input.agent.labels
"""
    assert replay(log, shipped(rule), workers=1).tally.flips == 1
    known = {document["agent"]["id"]: {"labels": ["tried"]}}
    tally = replay(log, shipped(rule), agents=known, workers=1).tally
    assert (tally.decisions, tally.flips) == (1, 0)


def test_a_record_that_is_not_there_is_an_error(now, tmp_path) -> None:
    with pytest.raises(ConfigError, match="no record"):
        replay(tmp_path / "none", now)
    with pytest.raises(ConfigError, match="no segments"):
        replay(tmp_path, now)


def test_the_segments_of_a_directory_are_one_record(engine, now, tmp_path) -> None:
    events = [event(engine, document) for document in inputs()]
    for number in (1, 2):
        path = written(tmp_path / f"20261128T013021Z-9f3a6c21d0b4-{number:06}.jsonl", events)
        with path.open("ab") as file:
            file.write(b'{"kind":"record.closed","root":"00"}\n')
    (tmp_path / "streams.jsonl").write_text("{}\n")
    tally = replay(tmp_path, now, workers=1).tally
    assert (tally.events, tally.decisions, tally.torn) == (2 * len(events), 2 * len(events), 0)


@given(lines=st.lists(st.binary(max_size=30)), size=st.integers(1, 40), end=st.booleans())
def test_every_line_is_in_one_part(tmp_path_factory, lines, size, end) -> None:
    path = tmp_path_factory.mktemp("parts") / "r"
    content = b"\n".join(line.replace(b"\n", b"") for line in lines) + (b"\n" if end else b"")
    path.write_bytes(content)
    found = [line for part in parts_of([path], size) for line in part.lines()]
    assert b"".join(line for _, line in found) == content
    assert [place for place, _ in found] == [
        place for place in range(len(content)) if place == 0 or content[place - 1] == 10
    ]


def test_tallies_add_up_in_any_order(record) -> None:
    replayer = Replayer(shipped(STRICTER).engine().loaded)
    size = record.stat().st_size
    parts = [Part(record, 0, at, min(at + 9_999, size)) for at in range(0, size, 9_999)]
    tallies = [replayer.replay(part) for part in parts]
    shown = []
    for seed in range(5):
        random.Random(seed).shuffle(tallies)
        whole = Tally()
        for tally in tallies:
            whole.add(tally)
        shown.append((whole.effects, whole.examples, whole.timeline.rows(50), whole.first))
    assert all(each == shown[0] for each in shown)


def test_names_without_end_take_no_memory_without_end() -> None:
    counts = ByName(Flips, most=3)
    for at in range(10):
        counts.of(f"n{at}").decisions += 1
    counts.of("x" * 10_000).decisions += 1
    assert len(counts.rows) == 4
    assert counts.rows[OTHERS].decisions == 8


_texts = st.one_of(st.sampled_from(["allow", "deny", "shadow", "r", "", " "]), st.integers())
_reasons = st.lists(
    st.one_of(
        st.fixed_dictionaries({"rule": _texts, "reason": _texts}),
        st.dictionaries(st.sampled_from(["rule", "reason", "x"]), _texts),
    ),
    max_size=2,
)


@given(
    result=st.fixed_dictionaries(
        {
            "effect": _texts,
            "reasons": _reasons,
            "approvals": st.just([]),
            "obligations": st.just([]),
        }
    ),
    words=st.text(max_size=5),
)
def test_results_of_one_key_are_read_alike(result, words) -> None:
    key = _key(result)
    if key is None:
        return
    other = {**result, "reasons": [{**each, "reason": words} for each in result["reasons"]]}
    assert _key(other) == key
    assert _read(other) == _read(result) == _as_decision(result)


def _read(result):
    try:
        return _verdict(result)
    except MalformedDecision:
        return None


def _as_decision(result):
    try:
        found = Decision.from_document(result)
    except MalformedDecision:
        return None
    return type(_verdict(result))(found.effect.value, frozenset(found.rule_ids))
