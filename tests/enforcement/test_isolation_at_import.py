"""What cannot run in a process of its own is an error where it is made, at import."""

from __future__ import annotations

import os

import pytest

import guardrails as gr
from guardrails.enforcement.workers import checked

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")


def module_function(**annotations):
    def function(x): ...

    function.__qualname__ = "function"
    function.__annotations__ = annotations
    return function


def in_script(x: int) -> None: ...


in_script.__module__ = "__main__"


def items(x: int):
    yield x


class Box:
    def method(self, x: int) -> None: ...

    @staticmethod
    def static(x: int) -> int:
        return x


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (lambda x: x, {}, "a lambda or made inside a function"),
        (in_script, {}, "in the script that was started"),
        (items, {}, "a generator"),
        (Box.method, {}, "a method, and its instance cannot cross"),
        (module_function(x=int), {}, "its result needs an annotation"),
        (module_function(**{"return": int}), {}, "`x` needs an annotation"),
        (module_function(x=int, **{"return": int}), {"hide": ("x",)}, "`x` is hidden"),
        (in_script, {"isolation": "thread"}, 'there is "process"'),
    ],
)
def test_what_cannot_cross_is_an_error_at_import(function, options, said) -> None:
    with pytest.raises(gr.ConfigError, match=said):
        gr.governed_tool(**{"isolation": "process", **options})(function)


def test_a_static_method_can_cross() -> None:
    tool = gr.tool_of(gr.governed_tool(isolation="process")(Box.static))
    assert tool is not None
    assert tool.isolation == "process"
    assert checked(tool, None) is None
