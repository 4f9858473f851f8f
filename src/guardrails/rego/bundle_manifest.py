"""A bundle's manifest: its revision, what it owns, and which Rego it is written in."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from guardrails.errors import PolicyLoadError
from guardrails.rego import bundle_documents as documents
from guardrails.rego.archive import shown
from guardrails.rego.bundle_roots import standard

if TYPE_CHECKING:
    from collections.abc import Mapping

WASM: Final = "WebAssembly is not evaluated; build with `-t rego` or `-t plan`"
"""Why a bundle with compiled policies is refused."""

_REVISION_LIMIT: Final = 256
_KINDS: Final[Mapping[type, str]] = {str: "text", list: "an array", dict: "an object"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        revision: Its revision; empty where it has none.
        roots: The paths that it owns, as ``guardrails``; ``""`` is everything.
        rego_version: 0 or 1; None where it does not say.
        file_versions: Patterns of paths that have another version.
        metadata: Anything.
        written: Whether there is a manifest at all.
    """

    revision: str = ""
    roots: tuple[str, ...] = ("",)
    rego_version: int | None = None
    file_versions: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    written: bool = False

    @classmethod
    def of(cls, content: bytes | None, place: str) -> Self:
        """The manifest in a file; without one everything is as OPA takes it then.

        Args:
            content: The file's content; None where there is none.
            place: What errors call it.

        Raises:
            PolicyLoadError: It is no manifest.
        """
        if content is None:
            return cls()
        fields = documents.json_document(content, place)
        if not isinstance(fields, dict):
            raise PolicyLoadError("the manifest is no object", file=place)
        known = {"revision", "roots", "rego_version", "file_rego_versions", "metadata", "wasm"}
        for key in fields:
            if key not in known and key.lower() in known:
                message = f"the key `{shown(key)}` is written `{key.lower()}`"
                raise PolicyLoadError(message, file=place)
        if fields.get("wasm"):
            raise PolicyLoadError(WASM, file=place)
        revision = _typed(fields, "revision", str, place) or ""
        if len(revision) > _REVISION_LIMIT or not revision.isprintable():
            message = f"the revision is longer than {_REVISION_LIMIT} characters, or not printable"
            raise PolicyLoadError(message, file=place)
        roots = _typed(fields, "roots", list, place)
        versions = _typed(fields, "file_rego_versions", dict, place) or {}
        own = fields.get("rego_version")
        for version in (*(() if own is None else (own,)), *versions.values()):
            if type(version) is not int or version not in (0, 1):
                message = f"the Rego version `{version}` is not known; there are 0 and 1"
                raise PolicyLoadError(message, file=place)
        return cls(
            revision=revision,
            roots=("",) if roots is None else standard(roots, place),
            rego_version=own,
            file_versions=MappingProxyType(versions),
            metadata=MappingProxyType(_typed(fields, "metadata", dict, place) or {}),
            written=True,
        )

    def version_of(self, path: str) -> int:
        """The Rego version of the module at `path`."""
        for pattern, version in sorted(self.file_versions.items()):
            if fnmatch.fnmatchcase(path, pattern.removeprefix("/")):
                return version
        return 1 if self.rego_version is None else self.rego_version


def _typed(fields: dict[str, Any], key: str, kind: type, place: str) -> Any:
    value = fields.get(key)
    if value is not None and type(value) is not kind:
        raise PolicyLoadError(f"`{key}` is not {_KINDS[kind]}", file=place)
    return value
