"""Where the shipped policies and examples stand: in the wheel, or in a clone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from guardrails.errors import ConfigError

_PACKAGE: Final = Path(__file__).resolve().parent
_CLONE: Final = _PACKAGE.parent.parent


def policies_directory() -> Path:
    """The directory of the shipped policy library.

    Raises:
        ConfigError: this installation has none.
    """
    return _shipped("policies")


def examples_directory() -> Path:
    """The directory of the shipped examples.

    Raises:
        ConfigError: this installation has none.
    """
    return _shipped("examples")


def _shipped(name: str) -> Path:
    installed = _PACKAGE / f"_{name}"
    if installed.is_dir():
        return installed
    # `src` above the package tells a clone from a directory `policies` of site-packages' own.
    if _PACKAGE.parent.name == "src" and (_CLONE / name).is_dir():
        return _CLONE / name
    raise ConfigError(
        f"the shipped {name} are missing: neither `{installed}` nor `{_CLONE / name}` is there; "
        "install guardrails-opa again"
    )
