"""JSON schemas: documents matched against one, and schemas checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.jsontext import read_json
from guardrails.rego.values import to_json

if TYPE_CHECKING:
    from types import ModuleType

    from guardrails.rego.values import Value


def _library() -> ModuleType:
    from guardrails.rego.builtins import jsonschemas  # noqa: PLC0415  # loads an extra's package

    return jsonschemas


def _document(value: Value) -> Value:
    """The JSON value in a text, or that an object or an array is."""
    if type(value) is str:
        try:
            return read_json(value)
        except BuiltinError as error:
            message = "invalid JSON string"
            raise BuiltinError(message) from error
    if type(value) is dict or type(value) is list:
        return to_json(value)
    message = "wrong type, expected string or object"
    raise BuiltinError(message)


@builtin("json.match_schema", arity=2, extra="jsonschema")
def match_schema(document: Value, schema: Value) -> Value:
    """Whether the document matches the schema, and the errors if not."""
    library = _library()
    given = _document(document)
    found = library.errors(library.compile_schema(_document(schema)), given)
    return [not found, found]


@builtin("json.verify_schema", arity=1, extra="jsonschema")
def verify_schema(schema: Value) -> Value:
    """Whether the value is a schema, and why not."""
    try:
        _library().compile_schema(_document(schema))
    except BuiltinError as error:
        return [False, f"jsonschema: {error.message}"]
    return [True, None]
