"""The child process that plans and compiles a policy: a request on stdin, an answer on stdout.

This file is run as a script by :mod:`guardrails.rego.compile_process`, in isolated mode. It
answers once and ends. The planner regopy, which can crash, runs in a child of its own
(:mod:`guardrails.rego.planner_process`), so nothing of it shares a process with the compiler.

The request is a line of JSON and a line with the data. The answer is a line of JSON, its ``body``
the number of bytes that follow it: a compiled policy (``compiled``), the plan for which the
compiler has no form (``plan``), or nothing, where the policy is refused (``refused``).
"""

from __future__ import annotations

import gc
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from guardrails.errors import PolicyLoadError


def _limit(memory: int, seconds: int) -> None:
    """Caps memory, processor time, file sizes and core dumps, where the platform can do that."""
    try:
        import resource  # noqa: PLC0415  # POSIX only; elsewhere the parent's time-out remains
    except ImportError:
        return
    bounds = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": memory, "RLIMIT_CPU": seconds}
    try:
        mapped = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        pass  # no Linux: how much is mapped is not known here
    else:
        bounds["RLIMIT_AS"] = mapped * resource.getpagesize() + memory
    for what, value in bounds.items():
        try:
            number = getattr(resource, what)
            hard = resource.getrlimit(number)[1]
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (bound, hard))
        except (AttributeError, OSError, ValueError):
            continue


def _answer(head: dict[str, Any], line: bytes) -> tuple[dict[str, Any], bytes]:
    # Only here: `main` says first where these packages lie.
    from guardrails.errors import PolicyLoadError  # noqa: PLC0415  # as above
    from guardrails.rego import analysis, decoder, exact_json, planner  # noqa: PLC0415  # as above
    from guardrails.rego.called_builtins import check_builtins  # noqa: PLC0415  # as above
    from guardrails.rego.compile_request import CompileRequest  # noqa: PLC0415  # as above
    from guardrails.rego.compiled import artefact_of  # noqa: PLC0415  # as above
    from guardrails.rego.emit.frames import CannotEmit  # noqa: PLC0415  # as above
    from guardrails.rego.input_reads import input_reads  # noqa: PLC0415  # as above

    request = CompileRequest.read(head["request"], {})
    try:
        plan = (
            planner.plan_modules(
                request.modules,
                request.entrypoints,
                planner=request.planner,
                opa=request.opa,
                timeout=head["seconds"],
            )
            if request.plan is None
            else planner.Plan(json.loads(request.plan), "opa")
        )
        # The planner's own child would inherit these, and regopy cannot run below them.
        _limit(head["memory"], head["seconds"])
        policy = decoder.decode(plan.document, planner=plan.planner)
        check_builtins(policy, "plan.json")
        data = exact_json.read(line)
        if request.checked:
            analysis.check(policy, data)
    except PolicyLoadError as error:
        return {"refused": _parts(error)}, b""
    try:
        found = artefact_of(policy, data, request.settings())
        asked = policy.plans.keys() & request.entrypoints
        reads = {name: input_reads(policy, policy.plans[name]) for name in sorted(asked)}
        return {"compiled": True}, replace(found, reads=reads).dumps()
    except (CannotEmit, RecursionError, ValueError) as error:
        return {"plan": str(error) or type(error).__name__}, json.dumps(plan.document).encode()


def _parts(error: PolicyLoadError) -> dict[str, Any]:
    return {"message": error.message, "file": error.file, "row": error.row, "col": error.col}


def main() -> None:
    """Answers one request."""
    gc.set_threshold(100_000, 20, 100)  # it lives shortly, and what it makes it keeps
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that is printed becomes part of an answer
    head = json.loads(sys.stdin.buffer.readline())
    sys.path[:] = head["path"]
    header, body = _answer(head, sys.stdin.buffer.readline())
    answers.write(json.dumps({**header, "body": len(body)}).encode() + b"\n")
    answers.write(body)
    answers.flush()
    os._exit(0)  # nothing is left to do, and taking down what was made takes time


if __name__ == "__main__":
    main()
