"""Which paths a bundle owns: its roots, and whether those of two bundles overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.errors import PolicyLoadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def standard(roots: Iterable[object], place: str) -> tuple[str, ...]:
    """The roots of a manifest without slashes around them.

    Raises:
        PolicyLoadError: One is no path, or two overlap.
    """
    found: list[str] = []
    for root in roots:
        if not isinstance(root, str):
            raise PolicyLoadError("the roots are no array of texts", file=place)
        clean = root.strip("/")
        for other in found:
            if overlap(clean, other):
                message = f"the roots `{other}` and `{clean}` overlap"
                raise PolicyLoadError(message, file=place)
        found.append(clean)
    return tuple(found)


def contains(roots: Iterable[str], path: Sequence[str]) -> bool:
    """Whether one of `roots` owns `path`."""
    for root in roots:
        parts = root.split("/")
        if root == "" or parts == list(path[: len(parts)]):
            return True
    return False


def overlap(one: str, other: str) -> bool:
    """Whether one root lies within the other."""
    return contains((one,), other.split("/")) or contains((other,), one.split("/"))
