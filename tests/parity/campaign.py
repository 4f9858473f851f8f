"""The parity campaign: what this process decides is what a real OPA server decides.

Every input is decided by both, with strict builtin errors and without. A difference counts, unless
OPA contradicts itself: sent the same document with each number written plainly, it gives the
answer that this process gave. That is OPA's own defect in comparing numbers (docs/rego.md), known
by exactly that; it is counted and shown.

``python -m tests.parity.campaign`` runs it in full and prints a table; it exits with 1 where there
is a difference.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.parity.inputs import cases, vocabulary_of
from tests.parity.subjects import ROOT, subjects
from tests.rego.fuzz.opa_peer import alike, serving

from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.source import ENTRYPOINT
from guardrails.errors import EvaluationError
from guardrails.model.canonical import canonical
from guardrails.model.decision import Decision, MalformedDecision
from guardrails.rego import UNDEFINED, Program
from guardrails.rego.lazy_code import LazyCode
from guardrails.rego.opa_binary import find_opa
from guardrails.rego.values import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.parity.inputs import Case
    from tests.parity.subjects import Subject
    from tests.rego.fuzz.opa_peer import Answer, Server

FULL: Final = 20_400
"""Inputs of the whole campaign; each is decided twice."""

SEED: Final = 20260615
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """One input about which the two do not agree.

    Attributes:
        subject: The policies.
        case: The input.
        strict: Whether builtin errors were strict.
        ours: What this process says.
        theirs: What OPA says.
    """

    subject: str
    case: Case
    strict: bool
    ours: Answer
    theirs: Answer

    def __str__(self) -> str:
        mode = "strict" if self.strict else "lenient"
        return (
            f"{self.subject}, {mode}, {self.case.kind}: here {self.ours}, OPA {self.theirs}\n"
            f"  {self.case.text}"
        )


@dataclass(slots=True)
class Tally:
    """What was compared.

    Attributes:
        subject: The policies.
        inputs: How many inputs.
        kinds: The same by how they were made.
        outcomes: What OPA said: effects, errors, undefined.
        differences: Where the two do not agree.
        defects: Where OPA contradicts itself.
        seconds: How long it took.
    """

    subject: str
    inputs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    defects: list[Difference] = field(default_factory=list)
    seconds: float = 0.0


def campaign(opa: str, count: int, seed: int = SEED) -> Iterator[Tally]:
    """The tally of each subject, over `count` inputs in all; as many at a time as there are cores.

    Args:
        opa: The OPA binary.
        count: How many inputs.
        seed: The same gives the same inputs.
    """
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(os.cpu_count()) as pool:
        listed = subjects(Path(name))
        share = -(-count // len(listed))
        yield from pool.map(compare, repeat(opa), listed, repeat(share), repeat(seed))


def compare(  # noqa: PLR0913  # what a comparison is of
    opa: str,
    subject: Subject,
    count: int,
    seed: int = SEED,
    *,
    compiled: bool = True,
    served: Mapping[str, str] | None = None,
) -> Tally:
    """What both say about `count` inputs of a subject.

    Args:
        opa: The OPA binary.
        subject: The policies.
        count: How many.
        seed: The same gives the same inputs.
        compiled: Whether to compile for builtin errors that are undefined, which no engine does;
            else that is interpreted.
        served: Other modules for OPA than the subject's.
    """
    began = time.perf_counter()
    engine = InProcessEngine(subject.files, lambda: subject.given)
    loaded = engine.loaded
    lenient = loaded.reference.program
    if compiled:
        code = LazyCode(lenient.policy, lenient.data)
        lenient = Program(lenient.interpreter, lenient.data, lenient.checked, code)
    tally = Tally(subject.name)
    schema = json.loads((ROOT / "policies/schemas/input/schema.json").read_text("utf-8"))
    vocabulary = vocabulary_of(loaded.modules, to_json(loaded.data))
    rng = random.Random(f"{seed} {subject.name}")
    modules = loaded.modules if served is None else served
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(opa, modules, loaded.data, Path(folder)) as server,
    ):
        for case in cases(subject.calls, schema, vocabulary, rng, count):
            tally.inputs += 1
            tally.kinds[case.kind] += 1
            document = json.loads(case.text, parse_float=Decimal)
            for strict in (True, False):
                ours = strictly(engine, document) if strict else leniently(lenient, document)
                theirs = ask(server, case.text, strict=strict)
                if strict:
                    tally.outcomes[_word(theirs)] += 1
                    if subject.decides:
                        _decided_alike(engine, document, ours)
                if _same(ours, theirs):
                    continue
                found = Difference(subject.name, case, strict, ours, theirs)
                plain = ask(server, plainly(case.text), strict=strict)
                (tally.defects if _same(ours, plain) else tally.differences).append(found)
    tally.seconds = time.perf_counter() - began
    return tally


def strictly(engine: InProcessEngine, document: Any) -> Answer:
    """What the engine's policies say, by the way that :meth:`InProcessEngine.decide` takes."""
    loaded = engine.loaded
    try:
        if loaded.fits(document):
            value = loaded.decider.evaluate(document)
        else:
            value = loaded.reference.program.evaluate(
                ENTRYPOINT, document, strict_builtin_errors=True
            )
    except EvaluationError as error:
        return "error", error.code
    return ("undefined", None) if value is UNDEFINED else ("value", to_json(value))


def leniently(program: Program, document: Any) -> Answer:
    """What the policies say with a failing builtin undefined."""
    try:
        value = program.evaluate(ENTRYPOINT, document)
    except EvaluationError as error:
        return "error", error.code
    return ("undefined", None) if value is UNDEFINED else ("value", to_json(value))


def ask(server: Server, text: str, *, strict: bool) -> Answer:
    """What OPA says; ``("no answer", …)`` where it hangs up."""
    flag = "?strict-builtin-errors=true" if strict else ""
    try:
        server.connection.request(
            "POST",
            f"/v1/data/{ENTRYPOINT}{flag}",
            f'{{"input":{text}}}'.encode(),
            {"Content-Type": "application/json"},
        )
        response = server.connection.getresponse()
        answer = json.loads(response.read(), parse_float=Decimal)
    except (http.client.HTTPException, OSError) as error:
        # OPA panics over some numbers, and its server then closes the connection.
        server.connection.close()
        return "no answer", type(error).__name__
    if response.status == http.client.OK:
        return ("value", answer["result"]) if "result" in answer else ("undefined", None)
    return "error", answer["errors"][0]["code"] if "errors" in answer else answer["code"]


def plainly(text: str) -> str:
    """The same document with each number in its one plain text."""
    return canonical(json.loads(text, parse_float=Decimal)).decode()


def _same(ours: Answer, theirs: Answer) -> bool:
    return ours == theirs if ours[0] != "value" or theirs[0] != "value" else alike(ours, theirs)


def _decided_alike(engine: InProcessEngine, document: Any, ours: Answer) -> None:
    """The engine decides what its policies say; nothing stands between them."""
    expected: Decision | type[Exception]
    try:
        expected = Decision.from_document(ours[1], revision=engine.revision, decision_id="d")
    except MalformedDecision:
        expected = EvaluationError if ours[0] == "error" else MalformedDecision
    try:
        decided: Decision | type[Exception] = engine.decide(document, "d")
    except (EvaluationError, MalformedDecision) as error:
        decided = type(error)
    if decided != expected:
        raise AssertionError(f"the engine decides {decided}, its policies say {ours}: {document}")


def _word(answer: Answer) -> str:
    if answer[0] == "value" and isinstance(answer[1], dict):
        return str(answer[1].get("effect"))
    return answer[0] if answer[1] is None else f"{answer[0]} {answer[1]}"


def main() -> int:
    """Run the campaign as the command line asks, and print what it found."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity.campaign")
    parser.add_argument("--inputs", type=int, default=FULL, help="how many inputs")
    parser.add_argument("--seed", type=int, default=SEED, help="other inputs")
    asked = parser.parse_args()
    opa = find_opa()
    if opa is None:
        print("parity: there is no OPA to compare with; run `make opa`", file=sys.stderr)
        return 1
    tallies = []
    for tally in campaign(opa, asked.inputs, asked.seed):
        tallies.append(tally)
        print(
            f"{tally.subject:24} {tally.inputs:6,} inputs {tally.seconds:6.1f} s"
            f"  {len(tally.differences)} differences, {len(tally.defects)} defects of OPA's",
            flush=True,
        )
        outcomes = ", ".join(f"{word} {n:,}" for word, n in tally.outcomes.most_common())
        print(f"  {outcomes}")
        for found in tally.defects[:_SHOWN]:
            print(f"  OPA's defect: {found}")
        for found in tally.differences[:_SHOWN]:
            print(f"  difference: {found}")
    kinds = sum((tally.kinds for tally in tallies), Counter[str]())
    print("  ".join(f"{kind}: {n:,}" for kind, n in kinds.most_common()))
    inputs = sum(tally.inputs for tally in tallies)
    differences = sum(len(tally.differences) for tally in tallies)
    defects = sum(len(tally.defects) for tally in tallies)
    print(
        f"{inputs:,} inputs, each decided with strict builtin errors and without:"
        f" {differences} differences; {defects} answers of OPA's that it contradicts itself"
    )
    return 1 if differences else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
