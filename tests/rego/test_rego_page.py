"""The page on Rego says what the code has, and of OPA's builtins each is there or refused."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

from guardrails.errors import PolicyLoadError
from guardrails.rego import Program
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.extras import PACKAGES
from guardrails.rego.builtins.unsupported import UNSUPPORTED

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "rego_page.py"


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("rego_page", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_code(page):
    text = page.PAGE.read_text("utf-8")
    assert page.filled(text) == text, "run: .venv/bin/python scripts/rego_page.py"


def test_every_table_is_on_the_page(page):
    text = page.PAGE.read_text("utf-8")
    assert not [name for name in page.TABLES if f"<!-- generated: {name} -->" not in text]
    assert not [name for name in BUILTINS if f"`{name}`" not in text and "internal." not in name]


def test_a_builtin_is_either_supported_or_refused():
    assert not BUILTINS.keys() & UNSUPPORTED.keys()
    assert {entry.extra for entry in BUILTINS.values()} == {"", *PACKAGES}


@pytest.mark.opa
def test_every_builtin_of_opa_is_supported_or_refused(opa):
    command = [opa, "capabilities", "--current"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    theirs = {each["name"] for each in json.loads(done.stdout)["builtins"]}
    assert theirs - {"print"} == BUILTINS.keys() | UNSUPPORTED.keys()


@pytest.mark.parametrize("name", ["http.send", "rego.metadata.rule"])
def test_a_refusal_says_what_to_do_instead(name):
    argument = "{}" if name == "http.send" else ""
    with pytest.raises(PolicyLoadError) as caught:
        Program.from_modules({"p.rego": f"package p\n\nr := {name}({argument})\n"}, ["p/r"])
    assert f"the builtin `{name}` is not supported" in str(caught.value)
    assert UNSUPPORTED[name].instead in str(caught.value)
