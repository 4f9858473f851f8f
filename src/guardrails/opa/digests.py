"""The digests that a bundle's signature gives of its files.

Data and manifest are hashed as OPA does it: as JSON without white space, names in order, digits
as they stand; all other files as their bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from typing import TYPE_CHECKING, Any, Final, NoReturn

from guardrails.errors import PolicyLoadError
from guardrails.rego.archive import place_in, shown
from guardrails.rego.bundle import MANIFEST
from guardrails.rego.bundle_documents import text_of, yaml_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DIGESTS: Final[Mapping[str, Callable[[], Any]]] = {
    "SHA-256": hashlib.sha256,
    "SHA-384": hashlib.sha384,
    "SHA-512": hashlib.sha512,
    "SHA-512-256": lambda: hashlib.new("sha512_256"),
}
# OPA also takes MD5, SHA-1 and SHA-224; two files with one such digest can be made.
_STRUCTURED: Final = frozenset({"data.json", "data.yaml", MANIFEST})


def digest(path: str, content: bytes, algorithm: str, name: str) -> str:
    """The digest of a file, in hex.

    Args:
        path: Where it is in the bundle.
        content: The file.
        algorithm: OPA's word for how it is hashed.
        name: What errors call the bundle.

    Raises:
        PolicyLoadError: The algorithm is not known, or the file cannot be read as what it is.
    """
    make = _DIGESTS.get(algorithm)
    if make is None:
        known = ", ".join(f"`{each}`" for each in _DIGESTS)
        what = f"the file `{shown(path)}` is hashed with `{shown(algorithm)}`; known are {known}"
        raise PolicyLoadError(f"the bundle is refused: {what}", file=name)
    last = path.rpartition("/")[2]
    if last in _STRUCTURED:
        content = _canonical(path, content, name)
    found = make()
    found.update(content)
    return str(found.hexdigest())


def _canonical(path: str, content: bytes, name: str) -> bytes:
    """A document as OPA hashes it."""
    place = place_in(name, path)
    text = text_of(content, place).removeprefix("\ufeff")
    try:
        try:
            written = _of_json(text)
        except json.JSONDecodeError:
            parts: list[str] = []
            _write(yaml_document(content, place), parts.append)
            written = "".join(parts)
        return written.encode()
    except (ValueError, RecursionError) as error:
        raise PolicyLoadError(f"cannot be hashed: {error}", file=place) from error


def _of_json(text: str) -> str:
    """JSON without white space, its names in order and its digits as they stand.

    Python's encoder does it, in less time than a walk over the document takes. It would change
    some digits; those go through it as texts with a mark that nobody can guess, so that no text
    of the document can pass for a number.
    """
    mark = secrets.token_hex(16)

    def kept(digits: str) -> str:
        return f"{mark}{digits}"

    decoder = json.JSONDecoder(
        parse_float=kept,
        parse_int=kept if "-0" in text else None,
        parse_constant=_no_constant,
    )
    written = json.dumps(
        decoder.decode(text), ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )
    return re.sub(f'"{mark}([^"]*)"', r"\1", _without_ends(written))


def _write(value: Any, put: Callable[[str], object]) -> None:
    if isinstance(value, dict):
        separator = "{"
        for key in sorted(value):
            put(separator)
            put(_quoted(key))
            put(":")
            _write(value[key], put)
            separator = ","
        put("}" if value else "{}")
    elif isinstance(value, list):
        separator = "["
        for item in value:
            put(separator)
            _write(item, put)
            separator = ","
        put("]" if value else "[]")
    elif isinstance(value, str):
        put(_quoted(value))
    elif value is None or isinstance(value, bool):
        put({None: "null", True: "true", False: "false"}[value])
    else:
        put(str(value).lower())  # what YAML gives: whole numbers, and decimals in Go's digits


def _quoted(text: str) -> str:
    """A text as Go's encoder writes it."""
    return _without_ends(json.dumps(text, ensure_ascii=False))


def _without_ends(written: str) -> str:
    """JSON as Go writes it: with escapes for two characters that end a line in JavaScript."""
    return written.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _no_constant(text: str) -> NoReturn:
    msg = f"`{text}` is no JSON number"
    raise ValueError(msg)
