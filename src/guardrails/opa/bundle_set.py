"""Several bundles as one set of policies: their roots apart, their data merged, one revision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from guardrails.errors import PolicyLoadError
from guardrails.rego.bundle_roots import overlap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.rego.bundle import Bundle

_SYSTEM = "system"
"""The root of what OPA asks for itself, as masks; no decision reads it."""


@dataclass(frozen=True, slots=True, repr=False)
class BundleSet:
    """Bundles that decide together. Make one with :meth:`of`.

    Attributes:
        bundles: The bundles by name, in the order of their names.
    """

    bundles: Mapping[str, Bundle]

    @classmethod
    def of(cls, bundles: Mapping[str, Bundle]) -> Self:
        """The set of `bundles`.

        Raises:
            PolicyLoadError: Roots of two of them overlap, or one only changes another's data.
        """
        ordered = dict(sorted(bundles.items()))
        names = list(ordered)
        for at, name in enumerate(names):
            if ordered[name].is_delta:
                msg = "it holds changes of a bundle that is not there"
                raise PolicyLoadError(msg, file=name)
            for other in names[at + 1 :]:
                _check_apart(ordered[name], ordered[other], name, other)
        return cls(ordered)

    def __repr__(self) -> str:
        return f"BundleSet({self.revision!r})"

    @property
    def revision(self) -> str:
        """The manifests' revisions, as ``name=revision``; empty where no manifest has one."""
        told = {name: each.manifest.revision for name, each in self.bundles.items()}
        return ",".join(f"{name}={revision}" for name, revision in told.items() if revision)

    @property
    def modules(self) -> dict[str, str]:
        """The Rego sources of all of them, by ``bundle:path``."""
        return {
            f"{name}:{path.removeprefix(f'{each.name}:')}": source
            for name, each in self.bundles.items()
            for path, source in each.modules.items()
        }

    @property
    def data(self) -> dict[str, Any]:
        """Their data, in new objects wherever two bundles meet."""
        merged: dict[str, Any] = {}
        for name, each in self.bundles.items():
            _merge(merged, each.data, name)
        return merged

    def plan_for(self, entrypoints: Sequence[str]) -> str | None:
        """The text of a ``plan.json`` that has `entrypoints`, where one says all; else None.

        A plan holds what its own bundle's modules say. Where another bundle brings rules that a
        decision could read, the modules are planned together.

        Raises:
            PolicyLoadError: A bundle has nothing but a plan, and others bring rules, too.
        """
        planned = [
            name for name, each in self.bundles.items() if each.plan_for(entrypoints) is not None
        ]
        for name in planned:
            others = (each for other, each in self.bundles.items() if other != name)
            if not any(map(_brings_rules, others)):
                return (self.bundles[name].plan or b"").decode()
        for name in planned:
            if not self.bundles[name].modules:
                msg = "it has a plan and no modules, and other bundles bring rules, too"
                raise PolicyLoadError(msg, file=name)
        return None


def _brings_rules(bundle: Bundle) -> bool:
    """Whether rules of `bundle` could be part of a decision that another one plans."""
    if all(root.split("/")[0] == _SYSTEM for root in bundle.manifest.roots):
        return False
    return bool(bundle.modules) or bundle.plan is not None


def _check_apart(one: Bundle, other: Bundle, name: str, other_name: str) -> None:
    for root in one.manifest.roots:
        for its in other.manifest.roots:
            if overlap(root, its):
                msg = (
                    f"its root `{its}` and the root `{root}` of the bundle `{name}` overlap;"
                    " a manifest without roots owns everything"
                )
                raise PolicyLoadError(msg, file=other_name)


def _merge(into: dict[str, Any], more: Mapping[str, Any], name: str, path: str = "data") -> None:
    """Adds `more`, copying the objects on the way so that no bundle's own are changed."""
    for key, value in more.items():
        there = into.get(key)
        if key not in into:
            into[key] = dict(value) if isinstance(value, dict) else value
        elif isinstance(there, dict) and isinstance(value, dict):
            copied = dict(there)
            _merge(copied, value, name, f"{path}.{key}")
            into[key] = copied
        else:
            raise PolicyLoadError(f"`{path}.{key}` is in another bundle, too", file=name)
