"""Reading YAML: values are exact, every one has its place, and what is ambiguous is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import ConfigError
from guardrails.register.source import SourceError
from guardrails.register.yaml_source import MAX_DEPTH, parse_yaml, plain_value, read_yaml


def refusal(text: str) -> str:
    with pytest.raises(SourceError) as caught:
        parse_yaml(text, "f.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("0", 0),
        ("1.10", Decimal("1.10")),
        ("0.1", Decimal("0.1")),
        ("true", True),
        ("null", None),
        ("", None),
        ("~", None),
        ("2026-11-30", "2026-11-30"),
        ("1.2.3", "1.2.3"),
        ("'no'", "no"),
        ('"1_000"', "1_000"),
        ("read", "read"),
        ("nobody", "nobody"),
    ],
)
def test_a_value_is_what_it_looks_like(written, value):
    found = parse_yaml(f"key: {written}\n", "f.yaml").value["key"]
    assert found == value
    assert type(found) is type(value)
    assert str(found) == str(value)


@pytest.mark.parametrize(
    "written",
    [
        *("no", "No", "yes", "YES", "on", "off", "y", "N", "True", "FALSE", "Null"),
        *("1_000", "1_0.5", "017", "0o17", "0x1F", "0b1", "+5", "1e3", "1.5e+3", ".5", "5.", "00"),
        *("12:30", "1:30:00", "190:20:30.15", ".inf", "-.Inf", ".nan"),
    ],
)
def test_what_readers_disagree_about_is_refused_with_its_place(written):
    said = refusal(f"a: 1\nkey: {written}\n")
    assert said.startswith("f.yaml:2:6: key: ")
    assert f"`{written}`" in said
    assert "quote it" in said


@pytest.mark.parametrize("key", ["no", "on", "1_000", "5", "true", "null"])
def test_a_key_is_always_text(key):
    assert parse_yaml(f"{key}: 1\n", "f.yaml").value == {key: 1}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: &x 1\nb: *x\n", "1:4", "anchors"),
        ("a: [*x]\n", "1:5", "anchors"),
        ("a: !!python/object/apply:os.system [id]\n", "1:4", "tags"),
        ("a: !!str 5\n", "1:4", "tags"),
        ("!!map {a: 1}\n", "1:1", "tags"),
        ("a: 1\n<<: {b: 1}\n", "2:1", "merge"),
        ("a: 1\nb: 2\na: 3\n", "3:1", "given twice, first in line 1"),
        ("x:\n  a: 1\n  'a': 2\n", "3:3", "x.a: is given twice"),
        ("a: 1\n---\nb: 1\n", "2:1", "second document"),
        ("? [a]\n: 1\n", "1:3", "a key is a text"),
        ("a: [1,\n", "2:1", "no YAML"),
        ("a:\n\t- 1\n", "2:1", "no YAML"),
        ("a: 'x\u202ey'\n", "1:6", "U+202E"),
        ("a: x\u200by\n", "1:5", "U+200B"),
        ("a: 1\nb: \x00\n", "2:4", "U+0000"),
        ("a: \ud800\n", "1:4", "U+D800"),
    ],
)
def test_a_refusal_names_the_place(text, place, words):
    said = refusal(text)
    assert said.startswith(f"f.yaml:{place}: ")
    assert words in said


def test_a_bomb_of_aliases_is_refused_before_it_unfolds():
    lines = ["a: &a [x, x]"] + [f"b{n}: &b{n} [*a, *a, *a, *a]" for n in range(20)]
    assert "anchors" in refusal("\n".join(lines))


def test_nesting_is_limited():
    assert parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f.yaml").value
    assert "deeper" in refusal("[" * 100_000)


def test_each_value_and_each_key_has_its_place():
    source = parse_yaml("one:\n  two: [a, b]\n  three: {four: 5}\n", "f.yaml")
    assert source.place(("one", "two", 1)) == (2, 12)
    assert source.place(("one", "three", "four")) == (3, 17)
    assert source.place(("one", "three", "four"), of_key=True) == (3, 11)
    assert source.place(("one", "absent", "deeper")) == (2, 3)


def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_yaml(tmp_path / "absent.yaml")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="larger than"):
        read_yaml(large)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(SourceError, match=r"latin.yaml:2:1: is no UTF-8"):
        read_yaml(latin)


def test_an_error_stays_one_line_that_steers_nothing():
    with pytest.raises(SourceError) as caught:
        parse_yaml('"a\\nb\\e[2J": 1\n"a\\nb\\e[2J": 2\n', "f\n.yaml")
    assert str(caught.value).isprintable()


@given(st.text(max_size=12))
def test_a_plain_scalar_is_itself_or_a_known_value_or_refused(text):
    try:
        value = plain_value(text)
    except ValueError:
        return
    if isinstance(value, str):
        assert value == text
    elif value is None:
        assert text in {"", "~", "null"}
    elif isinstance(value, bool):
        assert text in {"true", "false"}
    else:
        assert str(value) == text or text == "-0"
