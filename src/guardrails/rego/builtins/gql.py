"""GraphQL: documents parsed, and queries checked against a schema, by graphql-core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.operands import string, wrong_type

if TYPE_CHECKING:
    from types import ModuleType

    from guardrails.rego.values import Value


def _forms() -> ModuleType:
    from guardrails.rego.builtins import gqlforms  # noqa: PLC0415  # loads an extra's package

    return gqlforms


def _schemas() -> ModuleType:
    from guardrails.rego.builtins import gqlschemas  # noqa: PLC0415  # loads an extra's package

    return gqlschemas


def _document(value: Value, position: int) -> Value:
    if type(value) is not str and type(value) is not dict:
        raise wrong_type(position, value, "string", "object")
    return value


def _checked(query: Value, schema: Value) -> tuple[Any, Any]:
    """Both documents, the query valid under the schema."""
    schemas = _schemas()
    asked = schemas.read_query(_document(query, 0))
    defined = schemas.read_schema(_document(schema, 1))
    schemas.check(schemas.build(defined), asked)
    return asked, defined


@builtin("graphql.parse_query", arity=1, extra="graphql")
def parse_query(query: Value) -> Value:
    """The object that stands for a query document."""
    return _forms().query_form(_schemas().read_query(string(query, 1)))


@builtin("graphql.parse_schema", arity=1, extra="graphql")
def parse_schema(schema: Value) -> Value:
    """The object that stands for a schema document, which may be invalid."""
    return _forms().schema_form(_schemas().read_schema(string(schema, 1)))


@builtin("graphql.parse", arity=2, extra="graphql")
def parse(query: Value, schema: Value) -> Value:
    """The objects that stand for a valid query and its schema."""
    asked, defined = _checked(query, schema)
    return [_forms().query_form(asked), _forms().schema_form(defined)]


@builtin("graphql.parse_and_verify", arity=2, extra="graphql")
def parse_and_verify(query: Value, schema: Value) -> Value:
    """Whether the query is valid, and both documents if so."""
    try:
        asked, defined = _checked(query, schema)
    except (BuiltinError, ValueError):
        return [False, {}, {}]
    return [True, _forms().query_form(asked), _forms().schema_form(defined)]


@builtin("graphql.is_valid", arity=2, extra="graphql")
def is_valid(query: Value, schema: Value) -> Value:
    """Whether the query is valid under the schema."""
    try:
        _checked(query, schema)
    except (BuiltinError, ValueError):
        return False
    return True


@builtin("graphql.schema_is_valid", arity=1, extra="graphql")
def schema_is_valid(schema: Value) -> Value:
    """Whether the document defines a schema."""
    schemas = _schemas()
    try:
        schemas.build(schemas.read_schema(_document(schema, 0)))
    except (BuiltinError, ValueError):
        return False
    return True
