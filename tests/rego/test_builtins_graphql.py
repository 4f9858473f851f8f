"""GraphQL: OPA's form of documents, its verdicts, and limits."""

from __future__ import annotations

from typing import Any

import pytest

from guardrails.rego.builtins import BUILTINS, BuiltinError
from guardrails.rego.values import from_json, to_json

SCHEMA = """
type Query { me: User node: Node byId(id: Int): User }
interface Node { id: ID! }
type User implements Node { id: ID! name(short: Boolean = true): String }
input In { n: Int! l: [Int!] = [1, 2] e: E = A }
enum E { "first" A B @deprecated }
union U = User
scalar Date
type Mutation { set(v: In!): User }
directive @d(a: Int) repeatable on FIELD | OBJECT
extend type Query { more: Date }
"""

VALID = [
    "",
    "# nothing",
    "{ me { id name } }",
    "query Q($x: Int!) { byId(id: $x) { id } }",
    "{ me { ...F } } fragment F on User { id }",
    "mutation { set(v: {n: 1, l: [1, 2], e: A}) { id } }",
    "{ node { id ... on User @include(if: true) { name(short: false) } } }",
    "{ x: me { id @d(a: 1) @d(a: null) } }",
    "mutation M($v: In! = {n: 1}) { set(v: $v) { id @skip(if: false) } __typename }",
]

INVALID = [
    "{",
    "{ me }",
    "{ me {} }",
    "{ me { ...F } }",
    "{ me { nope } }",
    "{ me { id @nope } }",
    "{ byId(id: 1.5) { id } }",
    "query Q($x: String) { byId(id: $x) { id } }",
    "mutation { set(v: {n: null}) { id } }",
    "subscription { me { id } }",
    "{ me { ...F } } fragment F on User { ...F }",
    "type T { a: Int }",
    '"described" query { me { id } }',
]

INVALID_SCHEMAS = [
    "type Query { a: Missing }",
    "type String { a: Int }",
    "scalar String",
    "type Query { a: Int a: Int }",
    "schema { query: Missing }",
    "type Query { __a: Int }",
    "directive @d(a: Int @d) on ARGUMENT_DEFINITION",
    "{ a }",
    "type Query {}",
]


def call(name, *arguments):
    return BUILTINS[f"graphql.{name}"].call(*arguments)


@pytest.mark.parametrize("query", VALID)
def test_a_valid_query_is_valid_as_text_and_as_object(query):
    form = call("parse_query", query)
    schema = call("parse_schema", SCHEMA)
    assert call("is_valid", query, SCHEMA) is True
    assert call("is_valid", form, schema) is True
    assert call("parse", query, SCHEMA) == [form, schema]
    # The object stands for the document: read back, it gives itself.
    assert call("parse", form, schema)[0] == form
    assert call("parse_and_verify", form, SCHEMA) == [True, form, schema]
    assert to_json(from_json(form)) == to_json(form)


@pytest.mark.parametrize("query", INVALID)
def test_an_invalid_query_is_refused(query):
    assert call("is_valid", query, SCHEMA) is False
    assert call("parse_and_verify", query, SCHEMA) == [False, {}, {}]
    with pytest.raises(BuiltinError):
        call("parse", query, SCHEMA)


@pytest.mark.parametrize("schema", INVALID_SCHEMAS)
def test_an_invalid_schema_is_refused(schema):
    assert call("schema_is_valid", schema) is False
    assert call("is_valid", "", schema) is False


@pytest.mark.parametrize("schema", ["", SCHEMA, "scalar D", "extend type A { a: Int }"])
def test_a_valid_schema_needs_no_query(schema):
    assert call("schema_is_valid", schema) is True
    assert call("schema_is_valid", call("parse_schema", schema)) is True


def test_a_query_needs_a_schema_with_queries():
    assert call("is_valid", "{ a }", "type A { a: Int }") is False


def test_the_object_has_the_members_that_opa_gives():
    assert call("parse_query", '{ a: f(s: """x""", l: [1]) { ...F } }') == {
        "Operations": [
            {
                "Operation": "query",
                "Name": "",
                "SelectionSet": [
                    {
                        "Alias": "a",
                        "Name": "f",
                        "Arguments": [
                            {
                                "Name": "s",
                                "Value": {"Raw": "x", "Kind": 4, "ExpectedTypeHasDefault": False},
                            },
                            {
                                "Name": "l",
                                "Value": {
                                    "Raw": "",
                                    "Kind": 8,
                                    "ExpectedTypeHasDefault": False,
                                    "Children": [
                                        {
                                            "Name": "",
                                            "Value": {
                                                "Raw": "1",
                                                "Kind": 1,
                                                "ExpectedTypeHasDefault": False,
                                            },
                                        }
                                    ],
                                },
                            },
                        ],
                        "SelectionSet": [{"Name": "F"}],
                    }
                ],
            }
        ]
    }


def test_an_error_says_where():
    with pytest.raises(BuiltinError, match="in GraphQL string at location 1:10"):
        call("parse_query", "{ field: {} }")


@pytest.mark.parametrize(
    "form",
    [
        {"Operations": 1},
        {"Operations": [1]},
        {"Operations": [{"Operation": "other"}]},
        {"Operations": [{"Operation": "query", "SelectionSet": [{"Alias": "a"}]}]},
        {"Operations": [{"Operation": "query", "SelectionSet": [{"Name": "a b", "Alias": ""}]}]},
        {"Fragments": [{"Name": "F"}]},
    ],
)
def test_an_object_that_stands_for_no_query_is_refused(form):
    assert call("is_valid", form, SCHEMA) is False


@pytest.mark.parametrize("value", [None, 1, True, []])
def test_only_texts_and_objects_are_documents(value):
    assert call("is_valid", value, SCHEMA) is False
    assert call("is_valid", "", value) is False
    assert call("schema_is_valid", value) is False
    with pytest.raises(BuiltinError):
        call("parse", value, SCHEMA)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{a" * 101 + "}" * 101, "nested more than 100 deep"),
        ("{a(b:" + "[" * 50_000, "nested more than 100 deep"),
        ("{" + "a " * 20_000 + "}", "tokens|limit"),
        ("#" * 300_000, "at most 262144 are read"),
    ],
)
def test_a_document_too_large_or_too_deep_is_refused(query, message):
    with pytest.raises(BuiltinError, match=message):
        call("parse_query", query)
    assert call("is_valid", query, SCHEMA) is False


def test_an_object_too_deep_is_refused():
    kind: dict[str, Any] = {"NamedType": "Int"}
    for _ in range(20_000):
        kind = {"Elem": kind}
    variable = {"Variable": "x", "Type": kind}
    form = {"Operations": [{"Operation": "query", "VariableDefinitions": [variable]}]}
    assert call("is_valid", form, SCHEMA) is False
