"""The section ``record`` of ``guardrails.yaml``: where decisions are written, and how safely.

::

    record: .guardrails/record          # a directory of signed segments
    record: logs/record.jsonl           # one plain file, neither chained nor signed
    record:
      directory: .guardrails/record
      durability: write_ahead           # a call with side effects waits until its intent is on disk
      window: 100ms                     # within which an event is written
      segment_size: 67108864            # bytes
      retention: 90d                    # nothing is deleted without it
      anchor: /mnt/worm/record.heads    # where heads are appended, out of this machine's reach
      anchor_callback: acme.audit:send  # or who is given them: a function of one line of bytes
      key: /etc/guardrails/record.key   # made beside the directory where it is not given

What it may hold of calls is said by the keys of ``config/redaction.py``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema

from guardrails.config.redaction import WrittenRedaction
from guardrails.model.record_plan import PLAIN, RecordPlan
from guardrails.named_functions import is_reference
from guardrails.register.source import nearest, quoted, shown
from guardrails.register.words import Seconds, Text  # noqa: TC001  # pydantic reads them

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import CoreSchema

_DURABILITIES: Final = ("batch", "write_ahead")
_LONGEST_WINDOW: Final = 60_000
_OF_ANY: Final = {"directory", *WrittenRedaction.model_fields}
"""The keys that a plain file has, too."""


def _durability(value: object) -> object:
    if value not in _DURABILITIES:
        hint = nearest(str(value), _DURABILITIES)
        msg = f"{shown(value)} is not known{hint}; there are {quoted(_DURABILITIES)}"
        raise ValueError(msg)
    return value


def _window(value: object) -> object:
    found = re.fullmatch(r"([1-9][0-9]{0,4})(ms|s)", value) if isinstance(value, str) else None
    milliseconds = 0 if found is None else int(found[1]) * (1000 if found[2] == "s" else 1)
    if not 1 <= milliseconds <= _LONGEST_WINDOW:
        msg = f"{shown(value)} is no window; write `100ms` or `2s`, at most a minute"
        raise ValueError(msg)
    return milliseconds / 1000


def _reference(value: str) -> str:
    if not is_reference(value):
        msg = f"`package.module:function` is needed, not {shown(value)}"
        raise ValueError(msg)
    return value


class WrittenRecord(WrittenRedaction):
    """The section as it is written."""

    directory: Text
    durability: Annotated[Literal["batch", "write_ahead"], BeforeValidator(_durability)] = "batch"
    window: Annotated[
        float,
        BeforeValidator(_window),
        WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,4}(ms|s)$"}),
    ] = Field(default="100ms", validate_default=True)
    segment_size: Annotated[int, Field(ge=64 << 10, le=1 << 40)] = 64 << 20
    retention: Seconds | None = None
    anchor: Text | None = None
    anchor_callback: Annotated[Text, AfterValidator(_reference)] | None = None
    key: Text | None = None

    def plan(self, base: Path) -> RecordPlan:
        """What it says, with paths relative to `base`."""
        return RecordPlan(
            base / self.directory,
            self.durability,
            self.window,
            self.segment_size,
            self.retention,
            None if self.anchor is None else base / self.anchor,
            None if self.key is None else base / self.key,
            self.recording(),
            self.anchor_callback or "",
        )


class _OrPath:
    """Says in the JSON schema of the section that a path may stand for it."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(schema)]}


def _section(value: object) -> object:
    if isinstance(value, str):
        return {"directory": value}
    if value is not None and not isinstance(value, dict | WrittenRecord):
        msg = f"a path is needed, or keys as `directory` and `durability`, not {shown(value)}"
        raise ValueError(msg)
    return value


Record: TypeAlias = Annotated[WrittenRecord, BeforeValidator(_section), _OrPath()]
"""A path, or the section."""


def record_problem(written: WrittenRecord) -> str | None:
    """What does not fit together."""
    if written.directory.endswith(PLAIN) and written.model_fields_set - _OF_ANY:
        return f"a plain file (`{PLAIN}`) is neither chained nor deleted; name a directory"
    return None
