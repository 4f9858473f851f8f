"""Functions that a configuration names: the command line finds them where the agents do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guardrails.config import Config


def findable(config: Config) -> Config:
    """`config`; the modules of its functions may stand beside it, or in the working directory.

    They come after all that is installed: a file there takes no library's place. Nothing is
    changed where the configuration names no function.
    """
    sinks = any(sink.way == "callback" for sink in config.alerts)
    if sinks or (config.record is not None and config.record.anchor_callback):
        for place in (str(config.file.parent.absolute()), str(Path.cwd())):
            if place not in sys.path:
                sys.path.append(place)
    return config


__all__ = ["findable"]
