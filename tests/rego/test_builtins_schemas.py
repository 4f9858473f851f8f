"""JSON schemas and signed requests: OPA's answers, no fetching, and limits."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.rego.builtins import BUILTINS, BuiltinError

MATCH = BUILTINS["json.match_schema"].call
VERIFY = BUILTINS["json.verify_schema"].call
SIGN = BUILTINS["providers.aws.sign_req"].call

CONFIG = {
    "aws_access_key": "MYAWSACCESSKEYGOESHERE",
    "aws_secret_access_key": "MYAWSSECRETACCESSKEYGOESHERE",
    "aws_service": "s3",
    "aws_region": "us-east-1",
}
MOMENT = 1_451_311_705_000_000_000


def test_a_policy_loads_no_heavy_library():
    code = (
        "import sys, guardrails.rego;"
        "print([name for name in ('jsonschema', 'graphql') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# The expected errors are what `opa eval` gives.
@pytest.mark.parametrize(
    ("document", "schema", "errors"),
    [
        ({"id": 5}, {"properties": {"id": {"type": "integer"}}}, []),
        ({"id": Decimal("5.0")}, {"properties": {"id": {"type": "integer"}}}, []),
        ('{"id": 5}', '{"required": ["id"]}', []),
        (
            {"id": "x"},
            {"properties": {"id": {"type": "integer"}}},
            [("id", "invalid_type", "Invalid type. Expected: integer, given: string")],
        ),
        (
            {"id": True},
            {"properties": {"id": {"type": ["integer", "null"]}}},
            [("id", "invalid_type", "Invalid type. Expected: [integer,null], given: boolean")],
        ),
        ({}, {"required": ["id"]}, [("(Root)", "required", "id is required")]),
        (
            {"a": 1},
            {"additionalProperties": False},
            [
                (
                    "(Root)",
                    "additional_property_not_allowed",
                    "Additional property a is not allowed",
                )
            ],
        ),
        (
            [1, 2, 2],
            {"maxItems": 2, "uniqueItems": True},
            [
                ("(Root)", "array_max_items", "Array must have at most 2 items"),
                ("(Root)", "unique", "array items[1,2] must be unique"),
            ],
        ),
        (
            {"a": {"b": [1, "x"]}},
            {"properties": {"a": {"properties": {"b": {"items": {"type": "integer"}}}}}},
            [("a.b.1", "invalid_type", "Invalid type. Expected: integer, given: string")],
        ),
        (
            {"s": "abc\n"},
            {"properties": {"s": {"pattern": "^abc$"}}},
            [("s", "pattern", "Does not match pattern '^abc$'")],
        ),
        (
            {"n": Decimal("1.5")},
            {"properties": {"n": {"multipleOf": Decimal("0.4"), "minimum": 2}}},
            [
                ("n", "multiple_of", "Must be a multiple of 0.4"),
                ("n", "number_gte", "Must be greater than or equal to 2"),
            ],
        ),
    ],
)
def test_a_document_is_told_what_is_wrong_with_it(document, schema, errors):
    told = [
        {"field": field, "type": kind, "desc": text, "error": f"{field}: {text}"}
        for field, kind, text in errors
    ]
    assert MATCH(document, schema) == [not errors, told]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "unknown"},
        {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema"}}},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/definitions/none"},
        {"pattern": "(?!a)"},
        {"patternProperties": {"(": {}}},
        {"minLength": 4, "maxLength": 3},
        {"format": "date-time"},
        {"$schema": "http://127.0.0.1:9/draft"},
        "{",
        True,
    ],
)
def test_a_schema_that_is_not_taken_says_so_and_matches_nothing(schema):
    valid, reason = VERIFY(schema)
    assert valid is False
    assert reason.startswith("jsonschema: ")
    with pytest.raises(BuiltinError):
        MATCH({}, schema)


def test_a_schema_without_end_is_refused():
    assert VERIFY({"$ref": "#"}) == [True, None]
    with pytest.raises(BuiltinError, match="nested too deep"):
        MATCH({}, {"$ref": "#"})


def test_a_document_too_large_is_refused():
    with pytest.raises(BuiltinError, match="more than 100000 values"):
        MATCH([0] * 100_000, {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.lists(JSON) | st.dictionaries(st.text(), JSON))
def test_a_document_matches_the_constant_that_it_is_and_nothing_matches_false(document):
    assert MATCH(document, {"const": document}) == [True, []]
    assert MATCH(document, {"not": {}})[0] is False


def test_a_request_is_signed_as_opa_signs_it():
    signed = SIGN({"method": "get", "url": "http://example.com"}, CONFIG, MOMENT)
    assert signed["headers"]["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=MYAWSACCESSKEYGOESHERE/20151228/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature="
        "0047a7016c81e5c7f29cd522f97e911e04fc472fced0aee7916cbc287ad6c8e3"
    )


def test_signing_leaves_the_request_as_it_was():
    request = {"method": "get", "url": "http://example.com", "headers": {"a": "b"}}
    SIGN(request, CONFIG, MOMENT)
    assert request == {"method": "get", "url": "http://example.com", "headers": {"a": "b"}}


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://u:p@example.com:8080/a b?x=1#f", "example.com:8080"), ("/path", "")],
)
def test_the_signed_host_is_the_url_s(url, host):
    assert SIGN({"method": "get", "url": url}, CONFIG, MOMENT)["headers"]["host"] == host


@pytest.mark.parametrize(
    "url",
    [
        "http://exam\nple.com",
        " http://example.com",
        "http://example.com/%zz",
        "http://example.com:port/",
        "http://exa mple.com",
        "mailto:someone",
    ],
)
def test_a_url_that_go_refuses_is_not_repaired_and_signed(url):
    with pytest.raises(BuiltinError):
        SIGN({"method": "get", "url": url}, CONFIG, MOMENT)


@pytest.mark.parametrize(
    ("request_", "config", "moment", "message"),
    [
        ({}, CONFIG, MOMENT, r'operand 1 missing .*\{"method", "url"\}'),
        ({"method": 1, "url": 2}, CONFIG, MOMENT, "operand 1 invalid values"),
        ({"method": "get", "url": "/"}, {}, MOMENT, "operand 2 missing .*aws_access_key"),
        ({"method": "get", "url": "/"}, CONFIG, Decimal("-1E9"), "operand 3 could not convert"),
        (
            {"method": "get", "url": "/"},
            {**CONFIG, "disable_payload_signing": "false"},
            MOMENT,
            "disable_payload_signing",
        ),
    ],
)
def test_what_cannot_be_signed_is_refused(request_, config, moment, message):
    with pytest.raises(BuiltinError, match=message):
        SIGN(request_, config, moment)
