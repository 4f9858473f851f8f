"""JSON schemas compiled and applied by `jsonschema`, with OPA's errors, patterns and limits.

Drafts 4, 6 and 7, as OPA; without ``$schema`` draft 7. Patterns are RE2's. A reference leads
only to a place in its own schema: nothing is ever fetched.

Loads jsonschema: imported by :mod:`guardrails.rego.builtins.schemas` at the first use only.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft4Validator, Draft6Validator, Draft7Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # has none
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT4, DRAFT6, DRAFT7

from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.builtins.regex import compiled, matches
from guardrails.rego.builtins.sizes import bounded_size
from guardrails.rego.values import dumps, to_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.values import Value

_MOST_ERRORS: Final = 1_000
"""Errors that are told of one document."""

_ORDER: Final = (
    "$ref",
    "type",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "dependencies",
    "if",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "items",
    "additionalItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minProperties",
    "maxProperties",
    "required",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "const",
    "enum",
    "format",
    "minLength",
    "maxLength",
    "pattern",
    "properties",
)
"""The order in which OPA applies keywords, and so tells errors."""

_ERRORS: Final = {
    "type": ("invalid_type", "Invalid type. Expected: {value}, given: {given}"),
    "anyOf": ("number_any_of", "Must validate at least one schema (anyOf)"),
    "oneOf": ("number_one_of", "Must validate one and only one schema (oneOf)"),
    "allOf": ("number_all_of", "Must validate all the schemas (allOf)"),
    "not": ("number_not", "Must not validate the schema (not)"),
    "dependencies": ("missing_dependency", "Has a dependency on {name}"),
    "const": ("const", "{field} does not match: {value}"),
    "enum": ("enum", "{field} must be one of the following: {value}"),
    "additionalItems": ("array_no_additional_items", "No additional items allowed on array"),
    "minItems": ("array_min_items", "Array must have at least {value} items"),
    "maxItems": ("array_max_items", "Array must have at most {value} items"),
    "uniqueItems": ("unique", "array items[{name}] must be unique"),
    "contains": ("contains", "At least one of the items must match"),
    "minProperties": ("array_min_properties", "Must have at least {value} properties"),
    "maxProperties": ("array_max_properties", "Must have at most {value} properties"),
    "required": ("required", "{name} is required"),
    "additionalProperties": (
        "additional_property_not_allowed",
        "Additional property {name} is not allowed",
    ),
    "minLength": ("string_gte", "String length must be greater than or equal to {value}"),
    "maxLength": ("string_lte", "String length must be less than or equal to {value}"),
    "pattern": ("pattern", "Does not match pattern '{value}'"),
    "format": ("format", "Does not match format '{value}'"),
    "multipleOf": ("multiple_of", "Must be a multiple of {value}"),
    "minimum": ("number_gte", "Must be greater than or equal to {value}"),
    "exclusiveMinimum": ("number_gt", "Must be greater than {value}"),
    "maximum": ("number_lte", "Must be less than or equal to {value}"),
    "exclusiveMaximum": ("number_lt", "Must be less than {value}"),
    "": ("false", "False always fails validation"),
}

_UNCHECKED_FORMATS: Final = frozenset(
    {
        "date-time",
        "time",
        "hostname",
        "email",
        "idn-email",
        "idn-hostname",
        "uri",
        "uri-reference",
        "iri",
        "iri-reference",
        "uri-template",
        "json-pointer",
        "relative-json-pointer",
    }
)
"""Formats that OPA checks and this does not: a schema with one is refused, not half applied."""

_RANGES: Final = (("minLength", "maxLength"), ("minProperties", "maxProperties"))
"""Keywords of which OPA wants the first to be no greater than the second."""

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", re.ASCII)


def _pattern(_validator: Any, pattern: str, given: Any, _schema: Any) -> Iterator[ValidationError]:
    if type(given) is str and not matches(pattern, given):
        yield ValidationError("")


def _pattern_properties(
    validator: Any, patterns: dict[str, Any], given: Any, _schema: Any
) -> Iterator[ValidationError]:
    if type(given) is not dict:
        return
    for pattern, schema in patterns.items():
        for name, item in given.items():
            if matches(pattern, name):
                yield from validator.descend(item, schema, path=name, schema_path=pattern)


def _required(_validator: Any, names: Any, given: Any, _schema: Any) -> Iterator[ValidationError]:
    if type(given) is dict and type(names) is list:
        yield from (ValidationError(name) for name in names if name not in given)


def _additional_properties(
    validator: Any, allowed: Any, given: Any, schema: dict[str, Any]
) -> Iterator[ValidationError]:
    if type(given) is not dict:
        return
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for name, item in given.items():
        if name in known or any(matches(pattern, name) for pattern in patterns):
            continue
        if allowed is False:
            yield ValidationError(name)
        else:
            yield from validator.descend(item, allowed, path=name)


def _all_of(
    validator: Any, schemas: list[Any], given: Any, _schema: Any
) -> Iterator[ValidationError]:
    failed = False
    for place, schema in enumerate(schemas):
        for error in validator.descend(given, schema, schema_path=place):
            failed = True
            yield error
    if failed:
        yield ValidationError("")


def _unique_items(
    _validator: Any, wanted: Any, given: Any, _schema: Any
) -> Iterator[ValidationError]:
    if wanted is not True or type(given) is not list:
        return
    seen: dict[Any, int] = {}
    for place, item in enumerate(given):
        key = to_key(item)
        if key in seen:
            yield ValidationError(f"{seen[key]},{place}")
        seen[key] = place


def _is_integer(_checker: Any, value: object) -> bool:
    if type(value) is Decimal:
        return value == value.to_integral_value()
    return type(value) is int


_KEYWORDS: Final = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "required": _required,
    "additionalProperties": _additional_properties,
    "allOf": _all_of,
    "uniqueItems": _unique_items,
}

_DRAFTS: Final = {
    "http://json-schema.org/draft-04/schema": (Draft4Validator, DRAFT4),
    "http://json-schema.org/draft-06/schema": (Draft6Validator, DRAFT6),
    "http://json-schema.org/draft-07/schema": (Draft7Validator, DRAFT7),
}
_NEWEST: Final = "http://json-schema.org/draft-07/schema"


def _accepts(check: Any) -> Any:
    """The form that `FormatChecker` wants: True for what is no text, or what `check` takes."""
    return (lambda value: type(value) is not str or check(value) is not None), (
        ValueError,
        BuiltinError,
    )


_FORMATS: Final = FormatChecker(formats=())
_FORMATS.checkers = {
    "date": _accepts(lambda text: _DATE.fullmatch(text) and date.fromisoformat(text)),
    "ipv4": _accepts(ipaddress.IPv4Address),
    "ipv6": _accepts(lambda text: None if "%" in text else ipaddress.IPv6Address(text)),
    "uuid": _accepts(_UUID.fullmatch),
    "regex": _accepts(compiled),
}


def compile_schema(schema: Value) -> Any:
    """A validator for `schema`, a JSON value.

    Raises:
        BuiltinError: It is no schema, or one that is not taken.
    """
    if type(schema) is not dict:
        message = "schema is invalid"
        raise BuiltinError(message)
    bounded_size(schema, "schema")
    ordered = _ordered(schema)
    stated = schema.get("$schema", _NEWEST)
    name = stated.rstrip("#") if type(stated) is str else ""
    if name not in _DRAFTS:
        message = f"the draft `{stated}` is not supported; there are: {', '.join(_DRAFTS)}"
        raise BuiltinError(message)
    library, specification = _DRAFTS[name]
    checker = library.TYPE_CHECKER.redefine("integer", _is_integer)
    validator: Any = extend(  # type: ignore[no-untyped-call]  # its stubs leave it bare
        library, _KEYWORDS, type_checker=checker
    )
    try:
        library.check_schema(ordered, format_checker=_FORMATS)
        resolver = REGISTRY.resolver_with_root(specification.create_resource(ordered))
        _check_parts(ordered, resolver)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "(Root)"
        message = f"{place}: {error.message}"
        raise BuiltinError(message) from None
    except RecursionError:
        message = "the schema is nested too deep"
        raise BuiltinError(message) from None
    return validator(ordered, registry=REGISTRY, format_checker=_FORMATS)


def _ordered(value: Value) -> Value:
    """`value` with the keys of its objects in the order of :data:`_ORDER`."""
    if type(value) is list:
        return [_ordered(item) for item in value]
    if type(value) is not dict:
        return value
    ranks = {name: place for place, name in enumerate(_ORDER)}
    names = sorted(value, key=lambda name: (ranks.get(name, len(ranks)), name))
    return {name: _ordered(value[name]) for name in names}


def _check_parts(value: Value, resolver: Any) -> None:
    """Refuse references that lead elsewhere or nowhere, patterns that are none, such formats."""
    if type(value) is list:
        for item in value:
            _check_parts(item, resolver)
    if type(value) is not dict:
        return
    reference = value.get("$ref")
    if type(reference) is str:
        if not reference.startswith("#"):
            message = f"the reference `{reference}` leads out of the schema; nothing is fetched"
            raise BuiltinError(message)
        try:
            resolver.lookup(reference)
        except Unresolvable:
            message = f"the reference `{reference}` leads nowhere"
            raise BuiltinError(message) from None
    _check_ranges(value)
    if type(value.get("pattern")) is str:
        compiled(value["pattern"])
    patterns = value.get("patternProperties")
    for pattern in patterns if type(patterns) is dict else ():
        compiled(pattern)
    wanted = value.get("format")
    if type(wanted) is str and wanted in _UNCHECKED_FORMATS:
        message = f"the format `{wanted}` is not supported"
        raise BuiltinError(message)
    for item in value.values():
        _check_parts(item, resolver)


def _check_ranges(value: dict[str, Value]) -> None:
    for low, high in _RANGES:
        least, most = value.get(low), value.get(high)
        if type(least) is int and type(most) is int and least > most:
            message = f"{low} cannot be greater than {high}"
            raise BuiltinError(message)


def errors(validator: Any, document: Value) -> list[Value]:
    """What is wrong with `document`, a JSON value, in OPA's form; empty if it matches.

    Raises:
        BuiltinError: The document is too large, or the schema never ends on it.
    """
    bounded_size(document, "document")
    found: list[Value] = []
    mistyped: set[tuple[tuple[Any, ...], tuple[Any, ...]]] = set()
    try:
        for error in validator.iter_errors(document):
            place = tuple(error.absolute_path)
            keyword = tuple(error.absolute_schema_path)
            # OPA stops where the type is wrong.
            if (place, keyword[:-1]) in mistyped:
                continue
            if error.validator == "type":
                mistyped.add((place, keyword[:-1]))
            found.append(_told(error, place))
            if len(found) >= _MOST_ERRORS:
                break
    except RecursionError:
        message = "the schema or the document is nested too deep"
        raise BuiltinError(message) from None
    except Unresolvable as error:
        raise BuiltinError(str(error)) from None
    return found


def _told(error: ValidationError, place: tuple[Any, ...]) -> Value:
    keyword = error.validator if type(error.validator) is str else ""
    kind, text = _ERRORS.get(keyword, (keyword, error.message))
    field = ".".join(map(str, place)) or "(Root)"
    value: Any = error.validator_value
    if keyword == "enum":
        shown = ", ".join(map(dumps, value))
    elif keyword == "type" and type(value) is list:
        shown = f"[{','.join(value)}]"
    else:
        shown = value if type(value) is str and keyword != "const" else dumps(value)
    told = text.replace("{value}", shown) if keyword in _ERRORS else text
    told = told.replace("{given}", _type(error.instance)) if keyword == "type" else told
    if keyword in ("const", "enum"):
        told = told.replace("{field}", field)
    if "{name}" in text:
        told = text.replace("{name}", error.message)
    return {"desc": told, "error": f"{field}: {told}", "field": field, "type": kind}


def _type(value: Value) -> str:
    names = {str: "string", bool: "boolean", list: "array", dict: "object", type(None): "null"}
    if type(value) in names:
        return names[type(value)]
    return "integer" if _is_integer(None, value) else "number"
