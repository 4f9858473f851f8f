"""A delta bundle applied to the bundle that it changes."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from guardrails.errors import PolicyLoadError
from guardrails.rego.archive import shown
from guardrails.rego.bundle_documents import check_depth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.rego.bundle import Bundle
    from guardrails.rego.bundle_patch import PatchOperation


def with_delta(bundle: Bundle, delta: Bundle) -> Bundle:
    """`bundle` with the data that `delta` changes; neither is touched.

    Args:
        bundle: What is active.
        delta: Its changes.

    Raises:
        PolicyLoadError: The roots differ, or a change cannot be made.
    """
    if set(bundle.manifest.roots) != set(delta.manifest.roots):
        msg = "a delta bundle has the roots of the bundle that it changes; these differ"
        raise PolicyLoadError(msg, file=delta.name)
    data = patched(bundle.data, delta.patch or (), delta.name)
    check_depth(data, delta.name)
    manifest = replace(
        bundle.manifest, revision=delta.manifest.revision, metadata=delta.manifest.metadata
    )
    return replace(bundle, data=data, manifest=manifest)


def patched(data: Any, operations: Iterable[PatchOperation], name: str) -> Any:
    """A copy of `data` with the changes, made one after the other as OPA makes them.

    Args:
        data: The base documents.
        operations: What changes.
        name: What errors call the patch.

    Raises:
        PolicyLoadError: A path is not there, or leads through something that has no parts.
    """
    found = copy.deepcopy(dict(data))
    for operation in operations:
        if not _applied(found, operation):
            where = shown("/".join(operation.path))
            msg = f"`{operation.op}` cannot be done at `{where}`: it is not there, or has no parts"
            raise PolicyLoadError(msg, file=name)
    return found


def _applied(data: dict[str, Any], operation: PatchOperation) -> bool:
    *way, last = operation.path
    parent: Any = data
    for part in way:
        below = _child(parent, part)
        if below is _MISSING:
            # OPA makes objects on the way of an upsert, but none in an array.
            if operation.op != "upsert" or not isinstance(parent, dict):
                return False
            below = parent[part] = {}
        parent = below
    value = copy.deepcopy(operation.value)
    if isinstance(parent, dict):
        return _in_object(parent, last, operation.op, value)
    if isinstance(parent, list):
        return _in_array(parent, last, operation.op, value)
    return False


_MISSING = object()


def _child(parent: Any, part: str) -> Any:
    if isinstance(parent, dict):
        return parent.get(part, _MISSING)
    if isinstance(parent, list):
        at = _index(part)
        return parent[at] if at is not None and at < len(parent) else _MISSING
    return _MISSING


def _in_object(parent: dict[str, Any], last: str, op: str, value: Any) -> bool:
    if op != "upsert" and last not in parent:
        return False
    if op == "remove":
        del parent[last]
    else:
        parent[last] = value
    return True


def _in_array(parent: list[Any], last: str, op: str, value: Any) -> bool:
    at = len(parent) if last == "-" else _index(last)
    if at is None or at > len(parent) or (at == len(parent) and op != "upsert"):
        return False
    if op == "upsert":
        parent.insert(at, value)
    elif op == "remove":
        del parent[at]
    else:
        parent[at] = value
    return True


def _index(part: str) -> int | None:
    plain = part.isascii() and part.isdigit() and (part == "0" or not part.startswith("0"))
    return int(part) if plain and len(part) < 10 else None  # noqa: PLR2004  # digits of an index
