"""A policy from its sources to what decides: from the cache, from the child, or interpreted."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from guardrails.errors import EvaluationError
from guardrails.rego.compile_process import CompilerCrash, NoForm, compile_apart
from guardrails.rego.compiled import Compiled
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.linking import link
from guardrails.rego.program import Interpreted, Program

if TYPE_CHECKING:
    from guardrails.rego.compile_cache import CompileCache
    from guardrails.rego.compile_request import CompileRequest
    from guardrails.rego.compiled import Entrypoint
    from guardrails.rego.emit.artefact import Artefact

_log: Final = logging.getLogger("guardrails")


def load_entrypoint(
    request: CompileRequest, cache: CompileCache | None = None
) -> Entrypoint | Interpreted:
    """What evaluates the one entrypoint of `request`, planned and compiled in a child process.

    Where that gives nothing to run, the policy is interpreted: it decides the same, and slower.

    Args:
        request: The policy and what it is compiled for.
        cache: Where compiled policies are kept; None to compile always.

    Raises:
        PolicyLoadError: The policy is refused.
    """
    (entrypoint,) = request.entrypoints
    key = None if cache is None else _key(request)
    if cache is not None and key is not None:
        kept = cache.get(key)
        found = None if kept is None else _linked(request, kept)
        if found is not None:
            return found.entrypoint(entrypoint)
    try:
        made = compile_apart(request)
    except CompilerCrash as crash:
        _log.warning("the policy is interpreted, which takes longer: %s", crash)
        return _interpreted(request, None, str(crash))
    if isinstance(made, NoForm):
        _log.warning("the policy is interpreted, which takes longer: %s", made.reason)
        return _interpreted(request, made.plan, made.reason)
    found = _linked(request, made)
    if found is None:
        return _interpreted(request, None, "what was compiled cannot be used by this process")
    if cache is not None and key is not None:
        cache.put(key, made)
    return found.entrypoint(entrypoint)


def _key(request: CompileRequest) -> str | None:
    try:
        return request.digest()
    except (TypeError, ValueError, RecursionError, OSError):
        return None  # what is wrong with it is said where it is compiled


def _linked(request: CompileRequest, artefact: Artefact) -> Compiled | None:
    """The functions of `artefact`; None if they do not fit this process."""
    try:
        found = Compiled(link(artefact, request.data, strict=request.strict), request.data)
        found.entrypoint(request.entrypoints[0])
    except (CannotEmit, EvaluationError, KeyError, RecursionError, MemoryError) as error:
        _log.warning("a compiled policy cannot be used: %r", error)
        return None
    return found


def interpreted_program(request: CompileRequest, plan: object = None) -> Program:
    """The program of `request`, which is interpreted.

    Args:
        request: The policy.
        plan: Its plan, where there is one already.

    Raises:
        PolicyLoadError: It is refused.
    """
    planner, checked, data = request.planner, request.checked, request.data
    if plan is None and request.plan is None:
        return Program.from_modules(
            request.modules,
            request.entrypoints,
            data=data,
            planner=planner,
            opa=request.opa,
            checked=checked,
            compiled=False,
        )
    if request.plan is not None:
        plan, planner = json.loads(request.plan), "opa"
    return Program.from_plan(plan, data=data, planner=planner, checked=checked, compiled=False)


def _interpreted(request: CompileRequest, plan: object, reason: str) -> Entrypoint | Interpreted:
    """The interpreter, with the plan where there is one already."""
    program = interpreted_program(request, plan)
    found = program.compile(request.entrypoints[0], strict=request.strict)
    return replace(found, reason=reason) if isinstance(found, Interpreted) else found
