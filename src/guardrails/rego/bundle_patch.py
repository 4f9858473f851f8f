"""What a delta bundle holds: changes of the data of a bundle that is there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from guardrails.errors import PolicyLoadError
from guardrails.rego import bundle_documents as documents
from guardrails.rego.archive import shown
from guardrails.rego.bundle_roots import contains

if TYPE_CHECKING:
    from collections.abc import Sequence


class PatchOperation(NamedTuple):
    """One change of data in a delta bundle.

    Attributes:
        op: ``upsert``, ``remove`` or ``replace``.
        path: Where, in parts.
        value: What is there then.
    """

    op: str
    path: tuple[str, ...]
    value: Any


def read_patch(content: bytes, place: str, roots: Sequence[str]) -> tuple[PatchOperation, ...]:
    """The changes in a ``patch.json``.

    Args:
        content: The file.
        place: What errors call it.
        roots: What the bundle owns.

    Raises:
        PolicyLoadError: It is no patch, or changes what lies outside of the roots.
    """
    document = documents.json_document(content, place)
    entries = document.get("data") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise PolicyLoadError("a patch is an object with the array `data`", file=place)
    documents.check_depth(document, place)
    operations: list[PatchOperation] = []
    for number, entry in enumerate(entries):
        match entry:
            case {"op": ("upsert" | "remove" | "replace") as op, "path": str(path)}:
                parts = _patch_path(path)
            case _:
                message = (
                    f"entry {number} is no object with `path` and an `op`;"
                    " there are `upsert`, `remove`, `replace`"
                )
                raise PolicyLoadError(message, file=place)
        if parts is None:
            message = f"entry {number}: the path `{shown(path)}` names nothing that can be changed"
            raise PolicyLoadError(message, file=place)
        if not contains(roots, parts):
            message = f"entry {number}: `{shown(path)}` is outside of the bundle's roots"
            raise PolicyLoadError(message, file=place)
        if op != "remove" and "value" not in entry:
            raise PolicyLoadError(f"entry {number}: `{op}` needs a `value`", file=place)
        operations.append(PatchOperation(op, parts, entry.get("value")))
    return tuple(operations)


def _patch_path(path: str) -> tuple[str, ...] | None:
    """The parts of a JSON pointer; OPA takes it with and without slashes around it."""
    clean = path.strip("/")
    if not clean or "%" in clean:
        return None  # OPA decodes these; what needs them is written with `~0` and `~1`
    parts = tuple(part.replace("~1", "/").replace("~0", "~") for part in clean.split("/"))
    return None if "" in parts else parts
