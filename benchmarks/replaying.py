"""What a replay adds to a decision, and how many decisions it makes in a second.

The gate holds one line of the record, read, decided and counted, against the compiled function
alone with its input at hand. The rates are of whole replays with every processor; they depend on
the machine and gate nothing.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.gates import Gate
from benchmarks.harness import BATCH_NS, Clock, Timed, measure
from benchmarks.judging import outcomes
from benchmarks.policies.reference import flat, library
from benchmarks.workload import mixed
from guardrails.audit.exact_json import exact_json
from guardrails.candidates import Candidate
from guardrails.engines.source import Policies
from guardrails.replay import Tally, replay
from guardrails.replay.processes import processors
from guardrails.replay.replayer import Replayer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.gates import Outcome
    from benchmarks.policies.policy import Policy
    from guardrails.engines.in_process import InProcessEngine

BARE: Final = "the compiled function alone"
LINE: Final = "a line of the record"

GATES: Final = (Gate(LINE, BARE, 8),)

_LINES: Final = 200_000

_WHOLE: Final = """package guardrails

decision := {
	"effect": data.flat.decision.effect,
	"reasons": [{"rule": "flat", "reason": said} | some said in data.flat.decision.reasons],
	"approvals": [],
	"obligations": [],
}
"""
"""`flat` says less than a decision has to; with this it says all of it."""


def candidate_of(policy: Policy) -> Candidate:
    """A reference policy, as a candidate."""
    modules = dict(policy.modules)
    if policy.name == "flat":
        modules = {
            name: text.replace("package guardrails", "package flat", 1)
            for name, text in modules.items()
        }
        modules["whole.rego"] = _WHOLE
    return Candidate(policy.name, Policies(modules, policy.data))


def lines_of(policy: Policy, engine: InProcessEngine) -> list[bytes]:
    """One pass over the policy's inputs, as a record has them."""
    return [_line(engine, each, number) for number, each in enumerate(mixed(policy.cases))]


def _line(engine: InProcessEngine, document: Mapping[str, Any], number: int) -> bytes:
    found = engine.decide(document, "")
    event = {
        "v": 1,
        "kind": "call.started" if found.effect == "allow" else "call.refused",
        "time": document["time"],
        "decision_id": f"0197739c-1c00-7000-8000-{number:012}",
        "run_id": document["run"]["id"],
        "agent": document["agent"]["id"],
        "tool": document["tool"]["name"],
        "mode": "enforce",
        "effect": found.effect.value,
        "reasons": [each._asdict() for each in found.reasons],
        "approvals": [{"rule": each.rule} for each in found.approvals],
        "input": document,
        "revision": found.revision,
        "decision_ns": 4200,
    }
    return exact_json(event).encode("ascii") + b"\n"


def measure_replay(
    *, rounds: int, batch_ns: int = BATCH_NS, clock: Clock | None = None
) -> tuple[Outcome, ...]:
    """The gates' outcomes. Arguments as for :func:`~benchmarks.harness.measure`."""
    policy = flat()
    candidate = candidate_of(policy)
    engine = candidate.engine()
    replayer, tally = Replayer(engine.loaded), Tally()

    def note(line: bytes) -> None:
        replayer.note(line, (0, 0), tally)

    timed = [
        Timed(BARE, [(engine.loaded.decider.evaluate, each) for each in mixed(policy.cases)]),
        Timed(LINE, [(note, line) for line in lines_of(policy, engine)]),
    ]
    taken = measure(timed, rounds=rounds, batch_ns=batch_ns, clock=clock)
    return outcomes("replay", GATES, timed, taken, rounds=rounds, batch_ns=batch_ns, clock=clock)


def rates(lines: int = _LINES) -> dict[str, float]:
    """Decisions of whole replays, as the command makes them, by the figures' names.

    Those in a second are of every processor, the start of the processes included. Those of a
    core are of the CPU time of all processes for twice the lines, less that for once: what a
    long record takes.
    """
    found = {}
    for policy in (flat(), library()):
        candidate = candidate_of(policy)
        once = lines_of(policy, candidate.engine())
        with tempfile.TemporaryDirectory() as folder:
            taken = []
            for times in (1, 2):
                log = Path(folder) / f"record-{times}.jsonl"
                log.write_bytes(b"".join(once) * (times * lines // len(once)))
                taken.append(_whole(log, candidate))
        (_, less), (wall, more) = taken
        found[f"{policy.name}, decisions/s"] = 2 * lines / wall
        found[f"{policy.name}, decisions/s of a core"] = lines / (more - less)
    return found


def _whole(log: Path, candidate: Candidate) -> tuple[float, float]:
    """Seconds of the wall, and of CPU of all its processes, of one replay."""
    begun, cpu = time.perf_counter(), _cpu()
    tally = replay(log, candidate, workers=max(2, processors())).tally
    taken = time.perf_counter() - begun, _cpu() - cpu
    if tally.flips or tally.unreplayed:
        msg = f"`{candidate.name}` does not decide as it did"
        raise RuntimeError(msg)
    return taken


def _cpu() -> float:
    """Seconds of CPU of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
