"""Four processes on one store, in every interleaving, dying anywhere: what ran was approved, once.

The processes are real, as are their governors and the tool, which writes down outside of
guardrails that it ran and with what. The model knows only what it told the processes to do
and what they answered; of one that was killed it knows nothing, so that what it was told may
have happened.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, rule
from tests.approvals.process import (
    ESCALATES,
    EXPIRES,
    GROUPS,
    SECOND,
    START,
    WANTED,
    serve,
    service_in,
)

from guardrails.model.approval import ApprovalRequest, ApprovalState

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
MEMORY = Path("/dev/shm")  # noqa: S108  # where there is one, nothing waits for a disk
PROCESSES = 4
LOST = "lost"  # what a process that died has answered

RUNS = ("r0", "r1")
POINTS = [
    *[(point, "consumed") for point in ("told", "written", "committed")],
    *[(point, "settled") for point in ("told", "written", "committed")],
    ("told", "requested"),
    ("written", "approved"),
    ("committed", "approved"),
    ("body", ""),
    ("acted", ""),
]

context = multiprocessing.get_context("forkserver")


class Worker:
    """A process of :mod:`tests.approvals.process`, and another one where it has died."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def send(self, word: str, options: dict[str, Any], at: Any = None) -> None:
        self.pipe.send((word, options, at))

    def shoot(self) -> None:
        self.process.kill()

    def answer(self) -> str:
        try:
            assert self.pipe.poll(60), "a process hangs"
            return str(self.pipe.recv())
        except (EOFError, ConnectionResetError):
            self.process.join(10)
            assert self.process.exitcode == -signal.SIGKILL, "it died of something else"
            return LOST

    def open(self, folder: Path) -> None:
        self.send("open", {"folder": str(folder)})
        assert self.answer() == str(folder)

    def end(self) -> None:
        if self.process.is_alive():
            self.shoot()
        self.process.join(10)
        self.pipe.close()


WORKERS: list[Worker] = []


@pytest.fixture(scope="module", autouse=True)
def workers():
    context.set_forkserver_preload(["tests.approvals.process"])
    WORKERS.extend(Worker() for _ in range(PROCESSES))
    yield
    for worker in WORKERS:
        worker.end()
    WORKERS.clear()


points = st.none() | st.sampled_from(POINTS)
calls = st.tuples(
    st.just("call"),
    st.fixed_dictionaries(
        {
            "run": st.sampled_from(RUNS),
            "order": st.sampled_from(sorted(WANTED)),
            "lines": st.sampled_from([[1], [1, 2], [3]]),
            "wait": st.sampled_from([None, None, 0.05]),
            "changes": st.sampled_from([False, False, False, True]),
        }
    ),
)
answers = st.tuples(
    st.just("answer"),
    st.fixed_dictionaries(
        {
            "request": st.integers(0, 7),
            "by": st.sampled_from(sorted(GROUPS)),
            "yes": st.sampled_from([True, True, True, True, False]),
        }
    ),
)
others = st.one_of(
    st.tuples(
        st.just("edit"),
        st.fixed_dictionaries(
            {
                "request": st.integers(0, 7),
                "by": st.sampled_from(sorted(GROUPS)),
                "lines": st.sampled_from([[1], [1, 2], [3]]),
            }
        ),
    ),
    st.tuples(st.just("withdraw"), st.fixed_dictionaries({"request": st.integers(0, 7)})),
    st.tuples(st.just("kill"), st.fixed_dictionaries({"run": st.sampled_from(RUNS)})),
)
shots = st.none() | st.floats(0, 0.004)  # seconds after which a process is killed


class Approvals(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.path = Path(self.folder.name)
        self.now = START
        self.advance(0)
        self.ran = 0
        self.agrees = True
        self.yes: dict[str, dict[str, int]] = {}  # request: person: when
        self.no: set[str] = set()
        self.back: set[str] = set()
        self.killed: set[str] = set()
        self.used: set[str] = set()
        self.service, _ = service_in(self.path)
        for worker in WORKERS:
            worker.open(self.path)

    @rule(seconds=st.sampled_from([1, ESCALATES, EXPIRES - 1, EXPIRES]))
    def advance(self, seconds):
        self.now += seconds * SECOND
        new = self.path / "now.new"
        new.write_text(str(self.now))
        new.rename(self.path / "now")

    @rule(
        commands=st.lists(
            st.tuples(st.one_of(calls, answers, answers, others), points, shots),
            min_size=1,
            max_size=PROCESSES,
        )
    )
    def at_once(self, commands):
        """Anything, by several processes at a time, some of which die."""
        self.together([(*command, at, shot) for command, at, shot in commands])

    @rule(order=st.sampled_from(sorted(WANTED)), run=st.sampled_from(RUNS), lines=st.just([1]))
    def ask(self, order, run, lines):
        call = {"run": run, "order": order, "lines": lines, "wait": None, "changes": False}
        self.together([("call", call, None, None)])

    @rule(
        which=st.integers(0, 7),
        people=st.permutations(sorted(GROUPS)),
        at=st.lists(points, min_size=PROCESSES, max_size=PROCESSES),
        shot=st.lists(shots, min_size=PROCESSES, max_size=PROCESSES),
        during=st.booleans(),
    )
    def race(self, which, people, at, shot, during):
        """All say yes; while they do, or after that, every process makes the call."""
        # No precondition: what is open may depend on which process was faster.
        there = self.open_requests()
        if not there:
            return
        request = there[which % len(there)]
        call = {"run": request.run_id, "wait": 0.05 if during else None, "changes": False}
        call |= request.args
        said = [("answer", {"id": request.id, "by": by, "yes": True}, None, None) for by in people]
        if during:
            mixed = [("call", call, at[0], shot[0]), ("call", call, at[1], shot[1])]
            self.together([*mixed, *said[:2]])
        else:
            for each in said:
                self.together([each])
            racing = zip(at, shot, strict=True)
            self.together([("call", call, at_, shot_) for at_, shot_ in racing])

    def open_requests(self) -> list[ApprovalRequest]:
        return [
            each
            for state in (ApprovalState.PENDING, ApprovalState.APPROVED)
            for each in self.service.list(state)
        ]

    def together(self, commands):
        self.agrees = False
        known = self.service.list()
        sent = []
        for worker, (word, options, at, shot) in zip(WORKERS, commands, strict=False):
            told = dict(options)
            request_id = told.pop("id", None)
            if "request" in told:
                index = told.pop("request")
                if not known:
                    continue
                request_id = known[index % len(known)].id
            if request_id is not None:
                told["request_id"] = request_id
            sent.append((worker, word, told, shot))
            if word == "answer" and told["yes"]:
                said = self.yes.setdefault(request_id, {})
                first = told["by"] not in said
                said.setdefault(told["by"], self.now)
                sent[-1] = (worker, word, {**told, "first": first}, shot)
            worker.send(word, told, at)
        for worker, _, _, shot in sorted(sent, key=lambda each: each[3] or 0):
            if shot is not None:
                time.sleep(shot / PROCESSES)
                worker.shoot()
        results = [(word, options, worker.answer()) for worker, word, options, _ in sent]
        self.check(results)
        for (worker, *_, shot), (*_, result) in zip(sent, results, strict=True):
            if result == LOST or shot is not None:  # it may have answered, and died then
                worker.end()
                worker.start()
                worker.open(self.path)
        self.agrees = True

    def check(self, results):
        self.forget_what_did_not_count(results)
        traces = self.new_traces()
        used = [
            each for each in self.service.list(ApprovalState.CONSUMED) if each.id not in self.used
        ]
        self.used |= {each.id for each in used}
        left = list(used)
        for trace in traces:
            assert trace["run"] not in self.killed, "it ran after its run was killed"
            match = [
                each
                for each in left
                if (each.run_id, dict(each.args)) == (trace["run"], trace["args"])
            ]
            assert match, "it ran without an approval of exactly this, used for it alone"
            left.remove(match[0])
        for each in used:
            assert self.quorum(each), "it was used without its quorum"
            assert self.now < each.created + EXPIRES * SECOND, "it was used after it expired"
            assert each.id not in self.no | self.back, "it was used after a no"
        quiet = not any(
            result == LOST or word == "kill" or options.get("changes")
            for word, options, result in results
        )
        if quiet:
            assert not left, "an approval was used, and nothing ran"
            ran = sum(word == "call" and result == "paid" for word, _, result in results)
            assert ran == len(traces)
        self.learn(results)
        still_open = [(each.run_id, str(each.args)) for each in self.open_requests()]
        assert len(set(still_open)) == len(still_open), "two requests for one call are open"

    def forget_what_did_not_count(self, results):
        for word, options, result in results:
            assert result == LOST or ":" not in result, (word, options, result)
            # Of one who says yes twice, the first word may stand.
            if word == "answer" and options.get("first") and result not in (LOST, "counts"):
                del self.yes[options["request_id"]][options["by"]]

    def new_traces(self):
        if not (self.path / "ran").exists():
            return []
        lines = (self.path / "ran").read_text().splitlines()
        new, self.ran = lines[self.ran :], len(lines)
        return [json.loads(line) for line in new]

    def learn(self, results):
        for word, options, result in results:
            if word == "answer" and not options["yes"] and result == "counts":
                self.no.add(options["request_id"])
            elif result != LOST and word in ("withdraw", "edit"):
                if result in ("", "counts") and options["request_id"] not in self.used:
                    self.back.add(options["request_id"])
            elif word == "kill" and result != LOST:
                self.killed.add(options["run"])

    def quorum(self, request) -> bool:
        said = self.yes.get(request.id, {})
        late = request.created + ESCALATES * SECOND
        for group, wanted in WANTED[request.args["order"]].items():
            agreed = {by for by in said if group in GROUPS[by]}
            if group == "fin":
                agreed |= {by for by, when in said.items() if "boss" in GROUPS[by] and when >= late}
            if len(agreed) < wanted:
                return False
        return True

    def teardown(self):
        try:
            self.goes_on()
        finally:
            self.service.close()
            self.folder.cleanup()
            if not self.agrees:  # the processes are somewhere in the middle
                for worker in WORKERS:
                    worker.end()
                    worker.start()

    def goes_on(self):
        """Whatever has died: a new call is asked for, approved, and runs once."""
        call = {"run": "end", "order": "c", "lines": [7], "wait": None, "changes": False}
        before = self.ran
        self.together([("call", call, None, None)])
        (request,) = [each for each in self.open_requests() if each.run_id == "end"]
        for by in ("ann", "cat"):
            said = {"id": request.id, "by": by, "yes": True}
            self.together([("answer", said, None, None)])
        self.together([("call", call, None, None)] * PROCESSES)
        assert self.ran == before + 1


TestApprovals = Approvals.TestCase
TestApprovals.settings = settings(
    max_examples=300 if SOAK else 12,
    stateful_step_count=20,
    deadline=None,
    derandomize=not SOAK,
    phases=(Phase.explicit, Phase.generate),  # a race is not made smaller by running it again
)


@pytest.mark.soak
def test_random_deaths_never_let_one_approval_count_twice(tmp_path):
    """The race alone, again and again, with processes shot at any moment of it."""
    rounds = 300 if SOAK else 6
    shooting = random.Random(time.time_ns() if SOAK else 1)
    machine = Approvals()
    try:
        for _ in range(rounds):
            machine.advance(EXPIRES)
            machine.ask("a", "r0", [1])
            shot = [shooting.choice([None, shooting.random() * 0.004]) for _ in range(PROCESSES)]
            machine.race(0, sorted(GROUPS), [None] * PROCESSES, shot, during=False)
    finally:
        machine.teardown()
