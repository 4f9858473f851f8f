"""Acts of people at the command line, in the record that the configuration here names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from guardrails.audit.opening import open_record
from guardrails.cli.callbacks import findable
from guardrails.cli.console import notices, plain
from guardrails.config import VARIABLE, Config, find_file
from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from guardrails.model.call import Event


def record_act(event: Event) -> None:
    """Record `event`, on disk when this returns; said aloud where nothing names a record.

    Raises:
        StateUnavailable: it cannot be written.
        ConfigError: the configuration is wrong, so that nobody knows where the record is.
    """
    plan = findable(Config.find()).record if _is_configured() else None
    if plan is None:
        notices().print(plain("note: no configuration names a record here; this is not recorded"))
        return
    record = open_record(plan)
    record.write(event)
    record.close()


def _is_configured() -> bool:
    if os.environ.get(VARIABLE):
        return True
    try:
        find_file()
    except ConfigError:
        return False
    return True


__all__ = ["record_act"]
