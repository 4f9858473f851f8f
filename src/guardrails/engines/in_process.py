"""The embedded engine: Rego evaluated in this process.

The policies are planned in a child process, so that a planner's crash or a long
compile never touches the agent; the plan is checked and bound to its data here.
Decisions run with strict builtin errors: a builtin that fails inside a `deny`
would otherwise silence it.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.engines.layers import read_layers
from guardrails.errors import EvaluationError, Finding, PolicyLoadError
from guardrails.model.canonical import canonical
from guardrails.model.decision import Decision, MalformedDecision
from guardrails.rego import UNDEFINED, Program
from guardrails.rego.values import dumps, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from guardrails.engines.layers import PolicyFiles
    from guardrails.rego.explain import RuleTrace

ENTRYPOINT: Final = "guardrails/decision"
"""The rule that decides: ``data.guardrails.decision``."""

RULES: Final = "data.guardrails.rules."
"""How the names of the rules of all rule packages begin."""

MERGE: Final = "guardrails"
"""The rule id of what the merge itself says."""

CONTRIBUTIONS: Final = frozenset({"deny", "shadow", "allow", "require_approval", "obligations"})
"""What a rule package contributes to a decision."""

_log: Final = logging.getLogger("guardrails")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The policies that an engine decides with, layers merged.

    Attributes:
        program: They, planned and bound to the data.
        revision: The digest of modules and data, as ``sha256:…``.
        modules: The Rego sources by file.
        data: The base documents.
    """

    program: Program
    revision: str
    modules: Mapping[str, str]
    data: Mapping[str, Any]


class InProcessEngine:
    """Decides with the policies of some directories, in this process.

    Threads may share it. :meth:`reload` swaps the policies atomically; decisions in
    flight finish on the old ones.

    Args:
        files: Where the policies are.
        data: Gives what the policies read besides the data files, below
            ``data.guardrails_data``, as ``{"agents": …}``; asked again at every load.

    Raises:
        PolicyLoadError: the policies cannot be used.
    """

    def __init__(self, files: PolicyFiles, data: Callable[[], Mapping[str, Any]]) -> None:
        self._files = files
        self._data = data
        self._loaded = self._load()

    @property
    def revision(self) -> str:
        """The digest of policies and data that decide now, as ``sha256:…``."""
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
        loaded = self._load()
        changed = loaded.revision != self._loaded.revision
        self._loaded = loaded
        return changed

    def decide(self, document: Mapping[str, Any], decision_id: str) -> Decision:
        """The decision about one input document.

        Raises:
            EvaluationError: the evaluation failed.
            MalformedDecision: the result is undefined or no decision.
        """
        loaded = self._loaded
        result = loaded.program.evaluate(ENTRYPOINT, document, strict_builtin_errors=True)
        if result is UNDEFINED:
            msg = f"`{ENTRYPOINT}` is undefined"
            raise MalformedDecision(msg)
        return Decision.from_document(
            to_json(result), revision=loaded.revision, decision_id=decision_id
        )

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
            trace = self._loaded.program.explain(ENTRYPOINT, document, strict_builtin_errors=True)
            if trace.error is not None:
                raise trace.error
        except EvaluationError as error:
            return (Finding(f"{error.file or ENTRYPOINT}:{error.row or 0}", MERGE, error.message),)
        found: dict[Finding, None] = {}
        for rule in trace.rules():
            package, _, kind = rule.name.removeprefix(RULES).rpartition(".")
            if rule.name.startswith(RULES) and (
                not rules or package in rules or _grants(rules, kind)
            ):
                found.update(dict.fromkeys(_told(rule, package)))
        return tuple(found)

    def _load(self) -> Loaded:
        layered = read_layers(self._files.layers, self._data())
        if not layered.modules:
            where = ", ".join(map(str, self._files.layers)) or "no directory"
            msg = f"there are no policies in {where}"
            raise PolicyLoadError(msg)
        modules, data = layered.modules, from_json(layered.data)
        program = Program.from_modules(
            modules, [ENTRYPOINT], data=data, planner=self._files.planner, opa=self._files.opa
        )
        revision = _revision(modules, data)
        _log.info("policies loaded: %d modules, revision %s", len(modules), revision)
        return Loaded(program, revision, modules, data)


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


def _revision(modules: Mapping[str, str], data: Mapping[str, Any]) -> str:
    # Paths stay out: the same policies are the same revision wherever they lie.
    digest = hashlib.sha256()
    for text in sorted(modules.values()):
        digest.update(hashlib.sha256(text.encode()).digest())
    digest.update(canonical(data))
    return f"sha256:{digest.hexdigest()}"
