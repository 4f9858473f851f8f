"""The JSON schema of ``guardrails.yaml``, for editors and other tools.

It says less than the loader checks: a file that fits the schema can still be refused, a file
that does not fit always is. Nothing is required by it, since variables may give what must be there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from guardrails.config.file import WRITTEN

SCHEMA_FILE: Final = Path(__file__).with_name("guardrails.schema.json")
"""Where it is published."""


def config_schema() -> dict[str, Any]:
    """The schema, as a document of JSON Schema 2020-12."""
    schema = WRITTEN.model_json_schema()
    schema.update(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "guardrails.yaml",
            "description": "What a governor is built from.",
        }
    )
    del schema["required"]
    del schema["$defs"]["WrittenSidecar"]["required"]
    return schema


def schema_text() -> str:
    """The schema as it is published."""
    return json.dumps(config_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
