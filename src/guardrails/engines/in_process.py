"""The embedded engine: Rego evaluated in this process.

The policies are planned and compiled in a child process, so that a planner's crash or
a long compile never touches the agent; here the functions are only put together, or
taken from a cache. Decisions run with strict builtin errors: a builtin that fails
inside a `deny` would otherwise silence it.

What is compiled relies on the published shape of the input, which enforcement keeps.
An engine does not take that on trust: a document of another shape is decided by the
same policies, evaluated by the interpreter, which expects nothing of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from guardrails.engines.decision_reader import DecisionReader
from guardrails.engines.input_shape import fits
from guardrails.engines.layers import PolicyFiles
from guardrails.engines.probe import check_decides
from guardrails.engines.source import ENTRYPOINT, Directories
from guardrails.errors import ConfigError, EvaluationError, Finding, PolicyLoadError
from guardrails.forks import begin_anew
from guardrails.model.canonical import NotExactJSON, canonical
from guardrails.model.decision import Decision, MalformedDecision
from guardrails.rego import UNDEFINED
from guardrails.rego.compile_cache import CompileCache
from guardrails.rego.compile_request import CompileRequest
from guardrails.rego.loading import interpreted_program, load_entrypoint
from guardrails.rego.program import Interpreted, Program
from guardrails.rego.values import dumps, from_json, to_json
from guardrails.resources import policies_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from guardrails.engines.input_shape import Test
    from guardrails.engines.made_documents import Vouchable
    from guardrails.engines.source import PolicySource
    from guardrails.rego.builtins.base import EvaluationContext
    from guardrails.rego.compiled import Entrypoint
    from guardrails.rego.emit.shapes import Shape
    from guardrails.rego.explain import RuleTrace

RULES: Final = "data.guardrails.rules."
"""How the names of the rules of all rule packages begin."""

MERGE: Final = "guardrails"
"""The rule id of what the merge itself says."""

CONTRIBUTIONS: Final = frozenset({"deny", "shadow", "allow", "require_approval", "obligations"})
"""What a rule package contributes to a decision."""


_log: Final = logging.getLogger("guardrails")


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """The policies that an engine decides with, layers merged.

    Attributes:
        decider: They, compiled for documents of the published shape.
        shape: That shape.
        fits: Whether a document is one.
        reader: Reads what they answer.
        reference: They as the interpreter evaluates them, for all else.
        revision: The digest of modules and data, as ``sha256:…``; before it, and a space, what
            their bundles' manifests say, as ``name=revision``.
        modules: The Rego sources by file.
        data: The base documents.
        plan: The text of the plan that took the place of planning; None where they were planned.
    """

    decider: Entrypoint | Interpreted
    shape: Shape
    fits: Test
    reader: DecisionReader
    reference: Reference
    revision: str
    modules: Mapping[str, str]
    data: Mapping[str, Any]
    plan: str | None = None

    def result(
        self,
        document: Mapping[str, Any],
        context: EvaluationContext | None = None,
        *,
        known: bool = False,
    ) -> Any:
        """What they say about `document`, as evaluation makes it.

        Its sets are still sets; :func:`guardrails.rego.values.to_json` makes JSON types of it.

        Args:
            document: The input; it is not copied nor changed.
            context: The time and the random source; None for those of the machine.
            known: Somebody has looked, and `document` is of the shape.

        Raises:
            EvaluationError: the evaluation failed.
            MalformedDecision: they say nothing.
        """
        if not known and not _holds(self.fits, document):
            result = self.reference.program.evaluate(
                ENTRYPOINT, document, strict_builtin_errors=True, context=context
            )
        elif context is None:
            result = self.decider.evaluate(document)
        else:
            result = self.decider.evaluate(document, context)
        if result is UNDEFINED:
            msg = f"`{ENTRYPOINT}` is undefined"
            raise MalformedDecision(msg)
        return result


class Reference:
    """The interpreter of some loaded policies. It is made when it is first asked for.

    Args:
        request: What was loaded.
        decider: What decides; if that is the interpreter, it is this one.
    """

    __slots__ = ("_lock", "_program", "_request")

    def __init__(self, request: CompileRequest, decider: Entrypoint | Interpreted) -> None:
        self._request = request
        self._lock = threading.Lock()
        self._program: Program | None = None
        if isinstance(decider, Interpreted):
            self._program = Program(decider.interpreter, request.data, request.checked)

    @property
    def program(self) -> Program:
        """The program.

        Raises:
            PolicyLoadError: the policies cannot be planned any more, as without a planner.
        """
        with self._lock:
            if self._program is None:
                self._program = interpreted_program(self._request)
            return self._program

    def after_fork(self) -> None:
        """Let go, in the child, of what a thread of the parent holds."""
        self._lock = threading.Lock()


class InProcessEngine:
    """Decides with the policies of directories or bundles, in this process.

    Threads may share it. :meth:`reload` and :meth:`activate` swap the policies atomically;
    decisions in flight finish on the old ones.

    Args:
        source: Where the policies are: files in layers, or another source of them.
        data: Gives what the policies read besides the data files, below
            ``data.guardrails_data``, as ``{"agents": …}``; asked again at every load.
        cache: Where compiled policies are kept; ``user`` for the user's own cache directory,
            None to compile at every load.
        activating: Told of policies before they decide; where it raises they do not.

    Raises:
        PolicyLoadError: the policies cannot be used.
    """

    def __init__(
        self,
        source: PolicyFiles | PolicySource,
        data: Callable[[], Mapping[str, Any]],
        *,
        cache: CompileCache | Literal["user"] | None = "user",
        activating: Callable[[Loaded], None] | None = None,
    ) -> None:
        self._source = Directories(source) if isinstance(source, PolicyFiles) else source
        self._data = data
        self._cache = CompileCache.of_user() if cache == "user" else cache
        self._activating = threading.RLock()
        self._tell_activating = activating
        self._loaded = self._load(self._source)
        begin_anew(self._after_fork)

    @property
    def revision(self) -> str:
        """What decides now; see :attr:`Loaded.revision`."""
        return self._loaded.revision

    @property
    def loaded(self) -> Loaded:
        """The policies that decide now."""
        return self._loaded

    def reload(self) -> bool:
        """Read policies and data again; whether anything changed.

        Raises:
            PolicyLoadError: they cannot be used; those that decided go on deciding.
        """
        with self._activating:
            return self.activate(self._source)

    def activate(self, source: PolicySource) -> bool:
        """Decide with the policies of `source` from now on; whether anything changed.

        Raises:
            PolicyLoadError: they cannot be used; those that decided go on deciding.
        """
        with self._activating:
            loaded = self._load(source)
            changed = loaded.revision != self._loaded.revision
            self._source, self._loaded = source, loaded
        return changed

    def decide(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The decision about one input document, which is not copied nor changed.

        Raises:
            EvaluationError: the evaluation failed.
            MalformedDecision: the result is undefined or no decision.
        """
        loaded = self._loaded
        if _holds(loaded.fits, document):
            result = loaded.decider.evaluate(document)
        else:
            result = _interpreted(loaded, document)
        return replace(_read(loaded, result), decision_id=decision_id)

    def decide_made(
        self,
        document: Mapping[str, Any],
        constants: Vouchable,
        decision_id: str,  # noqa: ARG002  # engines that check what this one says name it so
    ) -> Decision:
        """The same, for a document that enforcement has made; its decision bears no id.

        The first document with these `constants` is held against the published shape. The others
        differ from it in parts that enforcement makes of exact types, whatever a caller gives
        (``tests/engines/test_made_documents.py``), so that they fit as it does.

        Args:
            document: The input document.
            constants: What stands for its parts that are the same in all calls of a tool in a
                run, and for no others.
            decision_id: Of no use here.

        Raises:
            EvaluationError: as :meth:`decide`.
            MalformedDecision: as :meth:`decide`.
        """
        loaded = self._loaded
        if constants.vouched is loaded:
            return _read(loaded, loaded.decider.evaluate(document))
        if not _holds(loaded.fits, document):
            return _read(loaded, _interpreted(loaded, document))
        constants.vouched = loaded
        return _read(loaded, loaded.decider.evaluate(document))

    async def decide_async(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The same; it does not wait for anything."""
        return self.decide(document, decision_id)

    def explain(
        self, document: Mapping[str, Any], rules: Collection[str] = ()
    ) -> Sequence[Finding]:
        """Which rules spoke and which conditions were not met, with file:row and the values.

        Args:
            document: The input document.
            rules: Ids of the rule packages to tell of; none for all of them.
        """
        try:
            program = self._loaded.reference.program
            trace = program.explain(ENTRYPOINT, document, strict_builtin_errors=True)
            if trace.error is not None:
                raise trace.error
        except (EvaluationError, PolicyLoadError) as error:
            return (Finding(f"{error.file or ENTRYPOINT}:{error.row or 0}", MERGE, error.message),)
        found: dict[Finding, None] = {}
        for rule in trace.rules():
            package, _, kind = rule.name.removeprefix(RULES).rpartition(".")
            if rule.name.startswith(RULES) and (
                not rules or package in rules or _grants(rules, kind)
            ):
                found.update(dict.fromkeys(_told(rule, package)))
        return tuple(found)

    def _after_fork(self) -> None:
        # Whoever held them is a thread of the parent.
        self._activating = threading.RLock()
        self._loaded.reference.after_fork()

    def _load(self, source: PolicySource) -> Loaded:
        policies = source.read(self._data())
        request = CompileRequest(
            policies.modules,
            (ENTRYPOINT,),
            _exact(policies.data),
            planner=policies.planner,
            opa=policies.opa,
            schema=_input_schema(),
            plan=policies.plan,
        )
        revision = _revision(request, policies.revision)
        decider = load_entrypoint(request, self._cache)
        if policies.bundled:
            check_decides(decider.evaluate, ENTRYPOINT)
        shape = request.shape()
        loaded = Loaded(
            decider,
            shape,
            fits(shape),
            DecisionReader(revision),
            Reference(request, decider),
            revision,
            request.modules,
            request.data,
            request.plan,
        )
        if self._tell_activating is not None:
            self._tell_activating(loaded)
        _log.info("policies loaded: %d modules, revision %s", len(request.modules), revision)
        return loaded


def _interpreted(loaded: Loaded, document: Mapping[str, Any]) -> Any:
    program = loaded.reference.program
    return program.evaluate(ENTRYPOINT, document, strict_builtin_errors=True)


def _read(loaded: Loaded, result: Any) -> Decision:
    """The decision that `result` states."""
    if result is UNDEFINED:
        msg = f"`{ENTRYPOINT}` is undefined"
        raise MalformedDecision(msg)
    if type(result) is dict and result.get("obligations") == []:
        # What reads it asks for exact types; only a transform's value may have any.
        try:
            return loaded.reader.read(result)
        except MalformedDecision:  # a set in the place of an array is one
            pass
    return Decision.from_document(to_json(result), revision=loaded.revision)


def _exact(data: Mapping[str, Any]) -> Any:
    try:
        return from_json(data)
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"the data cannot be used: {error}"
        raise PolicyLoadError(msg) from error


def _input_schema() -> Mapping[str, Any] | None:
    """The published shape of the input; None where this installation has none."""
    try:
        path = policies_directory() / "schemas" / "input" / "schema.json"
        schema = json.loads(path.read_text(encoding="utf-8"))
    except (ConfigError, OSError, ValueError) as error:
        _log.warning("the schema of the input is not used: %s", error)
        return None
    return schema if isinstance(schema, dict) else None


def _holds(test: Test, document: object) -> bool:
    try:
        return test(document)
    except RecursionError:
        return False  # whoever evaluates it says that it is nested too deeply


def _grants(rules: Collection[str], kind: str) -> bool:
    # "No rule allows this call" is said by the merge; what failed stands in the rules that allow.
    return MERGE in rules and kind == "allow"


def _told(rule: RuleTrace, package: str) -> Iterator[Finding]:
    """What a person wants to know of one rule: that it spoke, or what it found wanting."""
    kind = rule.name.rpartition(".")[2]
    if rule.contributes and kind in CONTRIBUTIONS:
        yield Finding(str(rule.where), package, f"{kind}: {dumps(rule.value)}")
    elif not rule.contributes:
        for step in rule.failures:
            yield Finding(str(step.where), package, f"not met: {step.text}")


def _revision(request: CompileRequest, told: str) -> str:
    # Paths stay out: the same policies are the same revision wherever they lie.
    digest = hashlib.sha256()
    for text in sorted(request.modules.values()):
        digest.update(hashlib.sha256(text.encode()).digest())
    if request.plan is not None:
        digest.update(hashlib.sha256(request.plan.encode()).digest())
    try:
        digest.update(canonical(request.data))
    except NotExactJSON as error:
        msg = f"the data cannot be used: {error}"
        raise PolicyLoadError(msg) from error
    return f"{told} sha256:{digest.hexdigest()}".lstrip()
