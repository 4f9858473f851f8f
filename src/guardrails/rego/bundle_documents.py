"""The documents in a bundle: JSON and YAML with exact numbers, or a refusal that says where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import PolicyLoadError
from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.builtins.yamltext import read_yaml
from guardrails.rego.numerals import parse_decimal

if TYPE_CHECKING:
    from decimal import Decimal

DEPTH: Final = 64
"""Collections within one another that base data may have."""

_LONGEST_NUMBER: Final = 1_000
_YAML_LIMIT: Final = 256 << 10


def json_document(content: bytes, file: str) -> Any:
    """The value in JSON text.

    Raises:
        PolicyLoadError: It is none, gives a name twice, or has text that is no Unicode.
    """
    text = text_of(content, file)
    try:
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, default=str, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        message = f"is no JSON: {error.msg}"
        raise PolicyLoadError(message, file=file, row=error.lineno, col=error.colno) from None
    except UnicodeEncodeError:
        raise PolicyLoadError("a text has a lone surrogate", file=file) from None
    except RecursionError:
        raise PolicyLoadError("is nested too deeply", file=file) from None
    except ValueError as error:
        raise PolicyLoadError(str(error), file=file) from None
    return value


def yaml_document(content: bytes, file: str) -> Any:
    """The value in YAML text, as OPA reads it: YAML 1.1, its aliases written out.

    Raises:
        PolicyLoadError: It is none, is long, or its aliases stand for more than may be.
    """
    if len(content) > _YAML_LIMIT:
        message = f"YAML of more than {_YAML_LIMIT >> 10} KiB takes long to read; give it as JSON"
        raise PolicyLoadError(message, file=file)
    text = text_of(content, file)
    try:
        return read_yaml(text)
    except BuiltinError as error:
        raise PolicyLoadError(error.message, file=file) from None
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise PolicyLoadError(f"is no YAML: {error}", file=file) from None


def text_of(content: bytes, file: str) -> str:
    """The text of a file.

    Raises:
        PolicyLoadError: It is no UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise PolicyLoadError("is no UTF-8 text", file=file, row=row) from None


def check_depth(value: Any, file: str) -> None:
    """Returns if `value` is no deeper than base data may be.

    Raises:
        PolicyLoadError: It is.
    """
    level: list[Any] = [value]
    for _ in range(DEPTH + 1):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        if not inner:
            return
        level = inner
    raise PolicyLoadError(f"is nested deeper than {DEPTH}", file=file)


def _integer(digits: str) -> int:
    return int(_short(digits))


def _fraction(digits: str) -> Decimal:
    number = parse_decimal(_short(digits))
    if abs(number.adjusted()) > _LONGEST_NUMBER:
        msg = f"the number `{digits[:40]}` is too long"
        raise ValueError(msg)
    return number


def _short(digits: str) -> str:
    if len(digits) > _LONGEST_NUMBER:
        msg = f"a number has {len(digits)} digits; at most {_LONGEST_NUMBER} are read"
        raise ValueError(msg)
    return digits


def _no_constant(text: str) -> Any:
    msg = f"`{text}` is no JSON number"
    raise ValueError(msg)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                msg = f"the name `{key[:60]}` is given twice"
                raise ValueError(msg)
            seen.add(key)
    return found


_DECODER: Final = json.JSONDecoder(
    parse_float=_fraction,
    parse_int=_integer,
    parse_constant=_no_constant,
    object_pairs_hook=_no_twins,
)


__all__ = ["DEPTH", "check_depth", "json_document", "text_of", "yaml_document"]
