"""The layers of policies that a configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.engines.layers import PolicyFiles
from guardrails.resources import policies_directory

if TYPE_CHECKING:
    from pathlib import Path

    from guardrails.config.file import Config


def policy_files(config: Config) -> PolicyFiles:
    """The layers of policies that `config` names: the shipped library, presets, its own."""
    return PolicyFiles(
        (*base_layers(config), *config.policies),
        config.planner,
        None if config.opa is None else str(config.opa),
    )


def base_layers(config: Config) -> tuple[Path, ...]:
    """The layers on which a project's own stand: the shipped library, presets."""
    shipped = policies_directory()
    library = (shipped / "guardrails", shipped / "data.yaml") if config.library else ()
    return (*library, *(shipped / "presets" / preset for preset in config.presets))
