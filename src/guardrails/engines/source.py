"""Where an engine's policies come from: directories, or bundles of OPA's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from guardrails.engines.agreement import FROM_FILE
from guardrails.engines.layers import DATA_ROOT, PolicyFiles, read_layers
from guardrails.errors import PolicyLoadError
from guardrails.opa.bundle_set import BundleSet
from guardrails.opa.signatures import verify
from guardrails.rego.archive import DEFAULT_LIMITS, ArchiveLimits
from guardrails.rego.bundle import Bundle, open_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.opa.keys import Verification
    from guardrails.rego.planner import PlannerName

ENTRYPOINT: Final = "guardrails/decision"
"""The rule that decides: ``data.guardrails.decision``."""


@dataclass(frozen=True, slots=True, eq=False)
class Policies:
    """What an engine loads.

    Attributes:
        modules: The Rego sources by file.
        data: The base documents.
        planner: Who plans them.
        opa: Where an OPA binary is; None to look for it.
        plan: The text of a ``plan.json`` that takes the place of planning; None to plan.
        revision: What their author calls them; empty where nobody does.
        bundled: Whether they come from bundles, which must decide at once.
    """

    modules: Mapping[str, str]
    data: Mapping[str, Any]
    planner: PlannerName = "regopy"
    opa: str | None = None
    plan: str | None = None
    revision: str = ""
    bundled: bool = False


@runtime_checkable
class PolicySource(Protocol):
    """Gives policies. An engine asks again at every load."""

    def read(self, given: Mapping[str, Any]) -> Policies:
        """The policies as they are now.

        Args:
            given: What the register and the program put below ``data.guardrails_data``.

        Raises:
            PolicyLoadError: They cannot be read, or hold what is in `given`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Directories:
    """The policies in layers of directories, read anew each time."""

    files: PolicyFiles

    def read(self, given: Mapping[str, Any]) -> Policies:
        """See :meth:`PolicySource.read`."""
        layered = read_layers(self.files.layers, given)
        if not layered.modules:
            where = ", ".join(map(str, self.files.layers)) or "no directory"
            msg = f"there are no policies in {where}"
            raise PolicyLoadError(msg)
        return Policies(layered.modules, layered.data, self.files.planner, self.files.opa)


@dataclass(frozen=True, slots=True)
class Bundles:
    """The policies of a set of bundles that were read and verified.

    Attributes:
        bundles: The bundles.
        planner: Who plans them, where there is no plan for the decision.
        opa: Where an OPA binary is; None to look for it.
    """

    bundles: BundleSet
    planner: PlannerName = "regopy"
    opa: str | None = None

    def read(self, given: Mapping[str, Any]) -> Policies:
        """See :meth:`PolicySource.read`."""
        bundles = self.bundles
        plan = bundles.plan_for((ENTRYPOINT,))
        modules = bundles.modules
        if plan is None and not modules:
            raise PolicyLoadError(f"no bundle holds policies: {', '.join(bundles.bundles)}")
        return Policies(
            modules,
            _with_given(bundles.data, given),
            self.planner,
            self.opa,
            plan,
            bundles.revision,
            bundled=True,
        )


@dataclass(frozen=True, slots=True)
class BundleFile:
    """The policies of a bundle in a file or a directory, read and verified anew each time.

    Their revision is ``file:<name>=<revision>``: OPA calls the same bundle otherwise.

    Attributes:
        path: A ``bundle.tar.gz``, or a directory.
        verification: The keys that it must be signed with; None for a bundle that is not signed.
        limits: How much it may hold.
        planner: Who plans it, where it has no plan for the decision.
        opa: Where an OPA binary is; None to look for it.
    """

    path: Path
    verification: Verification | None = None
    limits: ArchiveLimits = field(default=DEFAULT_LIMITS)
    planner: PlannerName = "regopy"
    opa: str | None = None

    def read(self, given: Mapping[str, Any]) -> Policies:
        """See :meth:`PolicySource.read`."""
        files, name = open_files(self.path, self.limits)
        verify(files, self.verification, name)
        bundle = Bundle.of(files, name)
        found = BundleSet.of({Path(name).name: bundle})
        policies = Bundles(found, self.planner, self.opa).read(given)
        revision = found.revision
        return replace(policies, revision=f"{FROM_FILE}{revision}" if revision else "")


def _with_given(data: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The data of bundles with what the register and the program know.

    Either side may give the agents, and every other key; both at once refuse.
    """
    own = data.get(DATA_ROOT, {})
    if not isinstance(own, dict):
        msg = f"`{DATA_ROOT}` in the bundle's data is no object"
        raise PolicyLoadError(msg)
    twice = own.keys() & given.keys()
    if twice:
        msg = (
            f"`{DATA_ROOT}.{min(twice)}` is given by the register or the program, and by a bundle;"
            " leave it out of one of them"
        )
        raise PolicyLoadError(msg)
    return {**data, DATA_ROOT: {**own, **given}}


__all__ = [
    "ENTRYPOINT",
    "BundleFile",
    "Bundles",
    "Directories",
    "Policies",
    "PolicySource",
]
