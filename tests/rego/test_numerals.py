"""A number is read with its digits or refused in words, wherever policies meet one."""

from __future__ import annotations

import decimal

import pytest

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego import UNDEFINED, Program, exact_json
from guardrails.rego.bundle_documents import json_document
from guardrails.rego.numerals import parse_decimal
from guardrails.rego.sources import read_data

BEYOND = ["1e9999999999999999999", "-1.5E-99999999999999999999", "0e99999999999999999999"]

MODULE = """
package probe
import rego.v1

read := json.unmarshal(input.text)
named := to_number(input.text)
over if json.unmarshal(input.text) > 1000
valid := json.is_valid(input.text)
"""


@pytest.fixture(params=[True, False], ids=["traps", "no-traps"])
def traps(request):
    """Whether this thread's decimal context raises for what is beyond every range."""
    with decimal.localcontext() as context:
        context.traps[decimal.InvalidOperation] = request.param
        yield request.param


@pytest.fixture(scope="module")
def program():
    names = ["probe/read", "probe/named", "probe/over", "probe/valid"]
    return Program.from_modules({"probe.rego": MODULE}, entrypoints=names)


@pytest.mark.usefixtures("traps")
@pytest.mark.parametrize("text", BEYOND)
def test_a_policy_gets_no_number_that_is_none(program, text) -> None:
    for entrypoint in ("probe/read", "probe/named", "probe/over"):
        assert program.evaluate(entrypoint, {"text": text}) is UNDEFINED
        with pytest.raises(EvaluationError, match="out of range"):
            program.evaluate(entrypoint, {"text": text}, strict_builtin_errors=True)


@pytest.mark.usefixtures("traps")
@pytest.mark.parametrize("text", [*BEYOND, "9" * 5000, "1e5", "[1.5]"])
def test_json_is_valid_however_large_its_numbers_are(program, text) -> None:
    # As OPA says, which keeps numbers as texts.
    assert program.evaluate("probe/valid", {"text": text}, strict_builtin_errors=True) is True


@pytest.mark.parametrize("text", ["1e", "01", "NaN", "1.", "[1,]"])
def test_what_is_no_json_is_not_valid(program, text) -> None:
    assert program.evaluate("probe/valid", {"text": text}, strict_builtin_errors=True) is False


@pytest.mark.usefixtures("traps")
@pytest.mark.parametrize("text", BEYOND)
def test_a_file_says_what_is_wrong(tmp_path, text) -> None:
    file = tmp_path / "data.json"
    file.write_text(f'{{"limit": {text}}}', "utf-8")
    with pytest.raises(PolicyLoadError, match="out of range") as caught:
        read_data(file)
    assert "data.json" in str(caught.value)
    with pytest.raises(PolicyLoadError, match="out of range"):
        json_document(file.read_bytes(), "data.json")
    with pytest.raises(ValueError, match="out of range"):
        exact_json.read(text)


@pytest.mark.usefixtures("traps")
@pytest.mark.parametrize("text", BEYOND)
def test_none_is_read(text) -> None:
    with pytest.raises(ValueError, match="out of range"):
        parse_decimal(text)
