"""Whether two engines' answers about one document are the same, and whether they can be compared.

Answers are compared in what they do: effect, reasons, approvals, obligations. Revisions are named
by each engine in its own way: where both name bundles, a bundle of the same name must have the same
revision; a bundle that this process has from a file has no name that OPA would know, so of it the
revision alone counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from guardrails.errors import EvaluationError
from guardrails.model.decision import Decision, MalformedDecision
from guardrails.rego.values import equal, from_json

if TYPE_CHECKING:
    from guardrails.model.decision import Obligation

Answer: TypeAlias = "Decision | EvaluationError | MalformedDecision"
"""What an engine comes to: a decision, or an error that refuses the call whoever asks."""

_OWN: Final = re.compile(r"(?:(?P<named>.*) )?(?P<digest>sha256:[0-9a-f]{64})", re.DOTALL)
_NAMED: Final = re.compile(r"([^=@]+)[=@](.*)", re.DOTALL)
FROM_FILE: Final = "file:"
"""What stands before the name of a bundle that comes from a file, and has no name elsewhere."""

_UNSAID: Final = frozenset({"", "?"})


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision, read.

    Attributes:
        bundles: The revision of each bundle that has one, by the bundle's name.
        digest: The digest of policies and data, if the engine gives one.
    """

    bundles: dict[str, str]
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> Revision:
        """The revision that an engine names: ``a@1,b@2``, ``a=1 sha256:…``, ``sha256:…``."""
        own = _OWN.fullmatch(text)
        named = text if own is None else own["named"] or ""
        bundles: dict[str, str] = {}
        for part in named.split(","):
            found = _NAMED.fullmatch(part)
            if found is not None:
                bundles[found[1]] = found[2]
            elif bundles:
                # A revision may hold commas: it is whatever its author likes.
                last = next(reversed(bundles))
                bundles[last] += f",{part}"
        said = {name: revision for name, revision in bundles.items() if revision not in _UNSAID}
        return cls(said, None if own is None else own["digest"])


def are_comparable(ours: str, theirs: str) -> bool:
    """Whether answers by these revisions can be held against each other.

    They cannot where a bundle that both name has another revision, where no bundle of the other's
    has the revision of the file here, nor where only one names any: what the other decides with is
    not known to be the same. Where neither names bundles, they are
    taken for the same, since OPA does not tell of policies that were pushed to it.
    """
    one, other = Revision.parse(ours), Revision.parse(theirs)
    if one.digest is not None and one.digest == other.digest:
        return True
    if not other.bundles:
        return other.digest is None
    if one.digest is not None and one.digest in other.bundles.values():
        return True  # a bundle whose revision is the digest of what this process decides with
    files = [said for name, said in one.bundles.items() if name.startswith(FROM_FILE)]
    if files:
        return all(said in other.bundles.values() for said in files)
    shared = one.bundles.keys() & other.bundles.keys()
    return bool(shared) and all(one.bundles[name] == other.bundles[name] for name in shared)


def differences(ours: Answer, theirs: Answer) -> tuple[str, ...]:
    """What two answers differ in, as ``effect``; nothing where they are the same."""
    if not isinstance(ours, Decision) or not isinstance(theirs, Decision):
        return () if _same_error(ours, theirs) else ("answer",)
    found = [
        name
        for name in ("effect", "would", "reasons", "approvals")
        if getattr(ours, name) != getattr(theirs, name)
    ]
    if not _same_obligations(ours.obligations, theirs.obligations):
        found.append("obligations")
    return tuple(found)


def _same_error(ours: Answer, theirs: Answer) -> bool:
    if isinstance(ours, EvaluationError) and isinstance(theirs, EvaluationError):
        return ours.code == theirs.code
    return isinstance(ours, MalformedDecision) and isinstance(theirs, MalformedDecision)


def _same_obligations(ours: tuple[Obligation, ...], theirs: tuple[Obligation, ...]) -> bool:
    return len(ours) == len(theirs) and all(
        (one.type, one.path) == (other.type, other.path)
        # As Rego's values: in Python true is 1.
        and equal(from_json(one.value), from_json(other.value))
        for one, other in zip(ours, theirs, strict=True)
    )
