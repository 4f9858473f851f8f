"""``approvals edit``: the arguments become exactly what a person writes, and nothing else."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.cli.edited_arguments import from_file, from_settings
from guardrails.errors import ConfigError
from guardrails.model.canonical import canonical, digest

NUMBERS = st.integers() | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)
ARGS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)


def written(value):
    return canonical(value).decode()


@given(ARGS, st.data())
def test_a_setting_puts_exactly_that_value_there_and_leaves_the_others(args, data):
    named = data.draw(st.lists(st.sampled_from(sorted(args)), unique=True))
    values = {
        name: data.draw(st.text() if type(args[name]) is str else VALUES, label=name)
        for name in named
    }
    settings = [
        # A text stands as it is, whatever is in it; anything else is JSON.
        f"{name}={value if type(args[name]) is str else written(value)}"
        for name, value in values.items()
    ]
    before = written(args)
    new = from_settings(args, settings)
    assert written(new) == written({**args, **values})
    assert written(args) == before, "the request's own arguments are not changed"


@given(ARGS, st.text())
def test_a_setting_that_is_none_names_what_there_is(args, text):
    name, equals, _ = text.partition("=")
    if equals and name in args:
        return
    with pytest.raises(ConfigError, match="sets no argument"):
        from_settings(args, [text])


@given(st.text())
def test_what_is_no_json_sets_nothing(text):
    try:
        value = json.loads(text, parse_float=Decimal)
        digest(value)
    except ValueError:
        pass
    else:
        assert written(from_settings({"n": 1}, [f"n={text}"])["n"]) == written(value)
        return
    try:
        new = from_settings({"n": 1}, [f"n={text}"])
    except ConfigError:
        return
    with pytest.raises(ValueError, match=""):  # a lone surrogate, or far too long a number
        digest(new)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"n": 1, "n": 2}', "twice"),
        ("NaN", "no number"),
        ("-Infinity", "no number"),
        ("[" * 100_000, "no JSON"),
        ("9" * 5_000, "no JSON"),
        ("1e99999999999999999999", "no JSON"),
        ("", "no JSON"),
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        from_settings({"n": 1}, [f"n={text}"])


@given(ARGS)
def test_a_file_has_all_arguments(tmp_path_factory, args):
    file = tmp_path_factory.mktemp("edited") / "args.json"
    file.write_text(written(args), "utf-8", newline="")
    assert written(from_file(file)) == written(args)


@pytest.mark.parametrize(
    ("content", "said"), [(b"[1]", "one JSON object"), (b"\xff", "cannot be read"), (b"{", "JSON")]
)
def test_a_file_without_arguments_says_what_it_has(tmp_path, content, said):
    file = tmp_path / "args.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        from_file(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        from_file(tmp_path / "none.json")
