"""A candidate: policies that are tried beside those that decide, and decide nothing.

It is named by one path, the same in ``guardrails replay --policy`` and in ``candidate:`` of
``guardrails.yaml``:

* a ``guardrails.yaml``, or a directory that holds one: a whole project, with its library,
  presets and register;
* a bundle: a ``.tar.gz``, or a directory with a ``.manifest``;
* any other directory, or a ``.rego`` file: policies that take the place of the project's
  own, on the same library and presets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.config import Config
from guardrails.config.file import FILE_NAME
from guardrails.config.layers import base_layers, policy_files
from guardrails.engines.bundled_agents import AGENTS, BundledAgents
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.layers import PolicyFiles
from guardrails.engines.source import BundleFile, Directories
from guardrails.errors import ConfigError
from guardrails.register import Register
from guardrails.resources import policies_directory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from guardrails.engines.source import Policies, PolicySource

_MANIFEST: Final = ".manifest"
_YAML: Final = frozenset({".yaml", ".yml"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """Policies that are tried.

    Attributes:
        name: As people know it: the path that was given.
        policies: The policies, as they were read; they can be handed to other processes.
    """

    name: str
    policies: Policies

    def read(self, given: Mapping[str, Any]) -> Policies:  # noqa: ARG002  # read already
        """What an engine loads; see :meth:`guardrails.engines.source.PolicySource.read`."""
        return self.policies

    def engine(self) -> InProcessEngine:
        """An engine that decides with them, in this process.

        Raises:
            PolicyLoadError: they cannot be used.
        """
        return InProcessEngine(self, dict)


def candidate_of(
    path: Path,
    base: Config | None,
    *,
    agents: Path | None = None,
    data: Mapping[str, Any] | None = None,
    library: bool = True,
) -> Candidate:
    """The candidate that `path` names, read now.

    Args:
        path: See above.
        base: The project's configuration, whose library and presets a directory of policies
            stands on, and whose register holds; None where there is none.
        agents: Another register; None for the project's.
        data: What the program itself knows, as :func:`guardrails.load_governor` takes it.
        library: Without `base`: whether a directory of policies stands on the shipped library.

    Raises:
        ConfigError: there is nothing at `path`, or it is not clear what its policies need.
        PolicyLoadError: its policies cannot be read.
    """
    if not path.exists():
        msg = f"the candidate `{path}` does not exist"
        raise ConfigError(msg)
    project = _project(path)
    if project is not None:
        config = Config.load(project)
        source = _source_of(config)
        register: Path | None = config.agents
    else:
        source = _source(path, base, library=library)
        register = None if base is None else base.agents
    register = register if agents is None else agents
    if AGENTS in (data or {}):
        msg = f"the candidate's data: `{AGENTS}` comes from the register"
        raise ConfigError(msg)
    given = dict(data or {})
    if register is not None:
        given[AGENTS] = Register.load(register).policy_data()
    return Candidate(str(path), source.read(given))


def _project(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix in _YAML else None
    file = path / FILE_NAME
    return file if file.is_file() else None


def _source_of(config: Config) -> PolicySource:
    engine = config.engine
    if engine.opa_config is not None and not config.policies:
        msg = (
            f"{config.file}: its policies come from the bundles of `{engine.opa_config}`; name a"
            " bundle's file as the candidate instead"
        )
        raise ConfigError(msg)
    opa = None if config.opa is None else str(config.opa)
    if engine.bundle is not None:
        return BundledAgents(BundleFile(engine.bundle, planner=config.planner, opa=opa))
    return Directories(policy_files(config))


def _source(path: Path, base: Config | None, *, library: bool) -> PolicySource:
    planner = "regopy" if base is None else base.planner
    opa = None if base is None or base.opa is None else str(base.opa)
    is_bundle = path.name.endswith(".tar.gz") or (path / _MANIFEST).is_file()
    if is_bundle:
        return BundledAgents(BundleFile(path, planner=planner, opa=opa))
    if path.is_file() and path.suffix != ".rego":
        msg = (
            f"the candidate `{path}` is none of: a {FILE_NAME}, a bundle (`.tar.gz`), a directory"
            " of policies, a `.rego` file"
        )
        raise ConfigError(msg)
    if base is not None:
        below = base_layers(base)
    else:
        shipped = policies_directory()
        below = (shipped / "guardrails", shipped / "data.yaml") if library else ()
    return Directories(PolicyFiles((*below, path), planner, opa))


__all__ = ["Candidate", "candidate_of"]
