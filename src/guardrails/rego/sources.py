"""The files of a policy directory: Rego modules, and the data that lies beside them.

Every ``*.rego`` is a module. A file named ``data.json``, ``data.yaml`` or
``data.yml`` is base data; as in OPA's bundles it belongs at the path of its
directory: ``policies/guardrails_data/data.yaml`` is ``data.guardrails_data``
when ``policies`` is read. Names that begin with a dot are passed over.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import yaml

from guardrails.errors import PolicyLoadError
from guardrails.rego.numerals import parse_decimal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

TEST_SUFFIX: Final = "_test.rego"
"""How the name of a file with tests ends."""

_DATA_NAMES: Final = frozenset({"data.json", "data.yaml", "data.yml"})
_FILE_LIMIT: Final = 64 << 20
_DEPTH_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class Sources:
    """What was found.

    Attributes:
        modules: The Rego sources by path, tests apart, in the order of their paths.
        tests: The sources of the files named ``*_test.rego``, likewise.
        data: The base data of all data files, merged.
        data_files: The paths of the data files.
    """

    modules: Mapping[str, str]
    tests: Mapping[str, str]
    data: Mapping[str, Any]
    data_files: tuple[str, ...]


def find_sources(paths: Sequence[str | Path], *, ignore_tests: bool = False) -> Sources:
    """The modules, tests and data in files and directories.

    Args:
        paths: Directories, searched in depth, or single files.
        ignore_tests: Leave out files named ``*_test.rego``.

    Raises:
        PolicyLoadError: A path does not exist, a file cannot be read, or two data files disagree.
    """
    modules: dict[str, str] = {}
    tests: dict[str, str] = {}
    data: dict[str, Any] = {}
    data_files: list[str] = []
    for path in paths:
        root = Path(path)
        if not root.exists():
            msg = "there is no such file or directory"
            raise PolicyLoadError(msg, file=str(root))
        for file in _files(root):
            name = file.as_posix()
            if file.suffix == ".rego":
                is_test = file.name.endswith(TEST_SUFFIX)
                if not (is_test and ignore_tests):
                    (tests if is_test else modules)[name] = _text(file)
            elif file.name in _DATA_NAMES and name not in data_files:
                data_files.append(name)
                place = () if file == root else file.parent.relative_to(root).parts
                _merge(data, _placed(read_data(file), place, name), name)
    return Sources(MappingProxyType(modules), MappingProxyType(tests), data, tuple(data_files))


def read_data(file: Path) -> Any:
    """The JSON value in a ``.json``, ``.yaml`` or ``.yml`` file, numbers exact.

    Raises:
        PolicyLoadError: It cannot be read, is no JSON value, or gives one key twice.
    """
    text = _text(file)
    try:
        if file.suffix == ".json":
            value = json.loads(
                text,
                parse_float=parse_decimal,
                parse_constant=_no_constant,
                object_pairs_hook=_no_twins,
            )
        else:
            value = yaml.load(text, Loader=_StrictLoader)  # noqa: S506  # a safe loader, made stricter
        return _checked(value, 0)
    except json.JSONDecodeError as error:
        raise PolicyLoadError(
            error.msg, file=file.as_posix(), row=error.lineno, col=error.colno
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        row, col = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        msg = error.problem or "no YAML"
        raise PolicyLoadError(msg, file=file.as_posix(), row=row, col=col) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PolicyLoadError(str(error) or "too deep", file=file.as_posix()) from error


def _files(root: Path) -> Iterator[Path]:
    """Files below `root` in the order of their paths; hidden ones are left out."""
    if root.is_file():
        yield root
        return
    try:
        entries = sorted(root.iterdir(), key=lambda path: path.name)
    except OSError as error:
        msg = f"the directory cannot be read: {error.strerror}"
        raise PolicyLoadError(msg, file=root.as_posix()) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry)
        elif entry.is_file():
            yield entry


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _FILE_LIMIT:
            msg = f"larger than {_FILE_LIMIT >> 20} MiB"
            raise PolicyLoadError(msg, file=file.as_posix())
        with file.open(encoding="utf-8", newline="") as opened:
            return opened.read()
    except UnicodeDecodeError as error:
        msg = f"not UTF-8 at byte {error.start}"
        raise PolicyLoadError(msg, file=file.as_posix()) from error
    except OSError as error:
        msg = f"cannot be read: {error.strerror or error}"
        raise PolicyLoadError(msg, file=file.as_posix()) from error


def _placed(value: Any, place: Iterable[str], name: str) -> dict[str, Any]:
    """`value` as an object that holds it at the path `place`."""
    for part in reversed(tuple(place)):
        value = {part: value}
    if value is None:
        return {}
    if not isinstance(value, dict):
        msg = f"data must be an object, not {type(value).__name__}"
        raise PolicyLoadError(msg, file=name)
    return value


def _merge(into: dict[str, Any], more: Mapping[str, Any], name: str, path: str = "data") -> None:
    """Adds `more` to `into`; what stands in both must be objects on both sides."""
    for key, value in more.items():
        if key not in into:
            into[key] = value
        elif isinstance(into[key], dict) and isinstance(value, dict):
            _merge(into[key], value, name, f"{path}.{key}")
        else:
            msg = f"`{path}.{key}` stands in another data file too"
            raise PolicyLoadError(msg, file=name)


def _checked(value: Any, depth: int) -> Any:
    """`value` if it is JSON; YAML also knows dates, bytes, sets and keys that are no strings."""
    if depth > _DEPTH_LIMIT:
        msg = f"nested deeper than {_DEPTH_LIMIT}"
        raise ValueError(msg)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                msg = f"the key `{key}` is no string; write it in quotes"
                raise ValueError(msg)  # noqa: TRY004  # wrong content of a file, as the other cases
        return {key: _checked(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_checked(item, depth + 1) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            msg = f"`{value}` is no JSON number"
            raise ValueError(msg)
        return Decimal(repr(value))
    if value is None or isinstance(value, str | bool | int | Decimal):
        return value
    msg = f"`{value}` is a {type(value).__name__}, which JSON does not have; write it in quotes"
    raise ValueError(msg)


def _no_constant(text: str) -> Any:
    msg = f"`{text}` is no JSON number"
    raise ValueError(msg)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                msg = f"the key `{key}` is given twice"
                raise ValueError(msg)
            seen.add(key)
    return found


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which takes the last of two equal keys in silence; this one refuses."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  # the signature of the base class
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag != "tag:yaml.org,2002:merge" and isinstance(key_node, yaml.ScalarNode):
                if key_node.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None,
                        None,
                        f"the key `{key_node.value}` is given twice",
                        key_node.start_mark,
                    )
                seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


__all__ = ["TEST_SUFFIX", "Sources", "find_sources", "read_data"]
