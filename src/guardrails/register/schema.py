"""The JSON schema of ``agents.yaml``, for editors and other tools.

It says less than the register checks: a file that fits the schema can still be
refused, a file that does not fit always is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from guardrails.register.entries import Entries

SCHEMA_FILE: Final = Path(__file__).with_name("agents.schema.json")
"""Where it is published."""


def agents_schema() -> dict[str, Any]:
    """The schema, as a document of JSON Schema 2020-12."""
    schema = Entries.model_json_schema()
    schema.update(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "agents.yaml",
            "minProperties": 1,
        }
    )
    return schema


def schema_text() -> str:
    """The schema as it is published."""
    return json.dumps(agents_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
