"""How each variant of this package's own engine is obtained: the one place that knows.

Each hook takes a policy and gives a :class:`~benchmarks.variant.Variant` that decides about the
whole input document. A hook whose engine is not there raises :class:`NotThereError`; gates on it
fail, unless it is declared in :data:`PENDING`.
"""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.policies.reference import ENTRYPOINT
from benchmarks.variant import NotThereError, Variant, variant
from guardrails.rego import Program
from guardrails.rego.compile_cache import CompileCache
from guardrails.rego.compile_request import CompileRequest
from guardrails.rego.emit.schemas import shape_of_schema
from guardrails.rego.loading import load_entrypoint
from guardrails.rego.program import Interpreted
from guardrails.rego.values import from_json, to_json
from guardrails.resources import policies_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.policies.policy import Policy
    from guardrails.rego.compiled import Entrypoint

INTERPRETED: Final = "interpreted"
COMPILED: Final = "compiled"
SHAPED: Final = "shaped"
SPECIALISED: Final = "specialised"

PENDING: Final[Mapping[str, str]] = {}
"""Variants and figures that are not made yet, with the reason: gates on them do not fail."""


@functools.lru_cache(maxsize=32)
def _program(policy: Policy, *, compiled: bool = True) -> Program:
    return Program.from_modules(policy.modules, [ENTRYPOINT], data=policy.data, compiled=compiled)


def interpreted(policy: Policy) -> Variant:
    """The reference interpreter."""
    program = _program(policy, compiled=False)

    def decide(input: Any) -> Any:
        return program.evaluate(ENTRYPOINT, input, strict_builtin_errors=True)

    return variant(INTERPRETED, decide, answer=to_json)


def compiled(policy: Policy) -> Variant:
    """Compiled Python that takes any JSON document."""
    program = _compiled(policy.name, _program(policy).compile(ENTRYPOINT))
    return variant(COMPILED, program.evaluate, prepare=from_json, answer=to_json)


def shaped(policy: Policy) -> Variant:
    """Compiled Python that relies on the shape that enforcement gives the input."""
    found = _program(policy).compile(ENTRYPOINT, shape=shape_of_schema(_input_schema()))
    decide = _compiled(policy.name, found).evaluate
    return variant(SHAPED, decide, prepare=from_json, answer=to_json)


def _compiled(name: str, found: Entrypoint | Interpreted) -> Entrypoint:
    if isinstance(found, Interpreted):
        raise NotThereError(f"for {name}: the compiler has no form for it")
    return found


@functools.cache
def _input_schema() -> Mapping[str, Any]:
    path = policies_directory() / "schemas" / "input" / "schema.json"
    schema: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def _specialised_to(
    policy: Policy, agent: Mapping[str, Any], tool: Mapping[str, Any]
) -> Callable[[Any], Any]:
    """What decides where ``input.agent`` and ``input.tool`` are these constants."""
    found = _program(policy).compile(
        ENTRYPOINT, shape=shape_of_schema(_input_schema()), known={"agent": agent, "tool": tool}
    )
    return _compiled(policy.name, found).evaluate


def specialised(policy: Policy) -> Variant:
    """Compiled Python for one agent and one tool: their parts of the input are constants.

    A program of its own for each agent and tool is chosen before the clock runs, as a governed
    tool chooses it before its first call in a run.
    """
    made: dict[str, Callable[[Any], Any]] = {}

    def bind(input: Mapping[str, Any]) -> tuple[Callable[[Any], Any], Any]:
        key = repr((input["agent"], input["tool"]))
        if key not in made:
            made[key] = _specialised_to(policy, input["agent"], input["tool"])
        return made[key], from_json(input)

    bind(policy.cases[0].input)  # here it shows whether it is there
    return Variant(SPECIALISED, bind, to_json)


def load(policy: Policy) -> Entrypoint:
    """A load from sources with nothing kept from another one: what a start or a reload does."""
    return _compiled(policy.name, load_entrypoint(_request(policy)))


def warm_load(policy: Policy) -> Callable[[], Any]:
    """A function that loads the policy from the cache that one load filled."""
    cache = CompileCache(Path(_directory()) / "cache")
    request = _request(policy)
    _compiled(policy.name, load_entrypoint(request, cache))
    if cache.get(request.digest()) is None:
        raise NotThereError(f"for {policy.name}: the cache keeps nothing")
    return lambda: load_entrypoint(request, cache)


@functools.lru_cache(maxsize=4)
def generated_source(policy: Policy) -> str:
    """The Python that a policy was compiled to, for `compile` to take alone."""
    found = _compiled(policy.name, load_entrypoint(_request(policy)))
    return "".join(each.text for each in found.compiled.linked.artefact.functions)


def _request(policy: Policy) -> CompileRequest:
    return CompileRequest(
        policy.modules, (ENTRYPOINT,), from_json(policy.data), schema=_input_schema()
    )


@functools.cache
def _directory() -> str:
    """A directory that goes when the process ends."""
    made = tempfile.mkdtemp(prefix="guardrails-bench-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


HOOKS: Final[Mapping[str, Callable[[Policy], Variant]]] = {
    INTERPRETED: interpreted,
    COMPILED: compiled,
    SHAPED: shaped,
    SPECIALISED: specialised,
}
