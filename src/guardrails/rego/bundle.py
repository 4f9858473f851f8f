"""A bundle of OPA's: manifest, modules, data and plan, taken from its files and checked.

What is read is what ``opa build`` writes. Files of other names may be there; they take no part.
Signatures are verified elsewhere, before any of this is read (:mod:`guardrails.opa.signatures`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from guardrails.errors import PolicyLoadError
from guardrails.rego import archive
from guardrails.rego import bundle_documents as documents
from guardrails.rego.archive import place_in, shown
from guardrails.rego.bundle_manifest import WASM, Manifest
from guardrails.rego.bundle_patch import read_patch
from guardrails.rego.bundle_roots import contains

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.rego.archive import ArchiveLimits
    from guardrails.rego.bundle_patch import PatchOperation

MANIFEST: Final = ".manifest"
SIGNATURES: Final = ".signatures.json"
PLAN: Final = "plan.json"
PATCH: Final = "patch.json"

_DATA: Final = {
    "data.json": documents.json_document,
    "data.yaml": documents.yaml_document,
    "data.yml": documents.yaml_document,
}
_FOREIGN: Final = {
    "policy.wasm": WASM,
    "plan.pb": "plans are read as `plan.json` only",
}
_TEST: Final = "_test.rego"
_NAMELESS: Final = "bundle.tar.gz"
_PACKAGE: Final = re.compile(
    r'(?:\s|#[^\n]*\n)*package[ \t]+([A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\["[^"\\\n]+"\])*)'
    r"[ \t]*(?:[#\r\n;]|\Z)",
    re.ASCII,
)
_PART: Final = re.compile(r'\["([^"]+)"\]|\.?(\w+)', re.ASCII)
_V1_IMPORT: Final = re.compile(r"^\s*import\s+rego\.v1\b", re.MULTILINE)


@dataclass(frozen=True, slots=True, repr=False)
class Bundle:
    """A bundle that was read.

    Attributes:
        name: What errors call it.
        manifest: What it says of itself.
        modules: The Rego sources by path, tests apart.
        data: The base documents of all data files, merged by path.
        plan: The text of ``plan.json``; None where there is none.
        patch: The changes that a delta bundle holds; None for a whole one.
        sizes: The size of each file, in bytes, by path.
    """

    name: str
    manifest: Manifest
    modules: Mapping[str, str]
    data: Mapping[str, Any]
    plan: bytes | None
    patch: tuple[PatchOperation, ...] | None
    sizes: Mapping[str, int]

    @classmethod
    def of(cls, files: Mapping[str, bytes], name: str) -> Self:
        """The bundle that `files` are.

        Args:
            files: Contents by path, as :mod:`guardrails.rego.archive` reads them.
            name: What errors call it.

        Raises:
            PolicyLoadError: One cannot be read, two disagree, or one lies outside of the roots.
        """
        _check_names(files, name)
        manifest = Manifest.of(files.get(MANIFEST), place_in(name, MANIFEST))
        sizes = {path: len(content) for path, content in files.items()}
        if PATCH in files:
            _check_delta(files, name)
            patch = read_patch(files[PATCH], place_in(name, PATCH), manifest.roots)
            return cls(name, manifest, {}, {}, None, patch, sizes)
        modules = _modules(files, name, manifest)
        data = _data(files, name)
        _check_data(data, manifest.roots, name)
        plan = files.get(PLAN)
        if not modules and plan is None and not any(_is_data(path) for path in files):
            raise PolicyLoadError("the bundle holds neither Rego, data nor a plan", file=name)
        return cls(name, manifest, modules, data, plan, None, sizes)

    def __repr__(self) -> str:
        return f"Bundle({self.name!r}, revision={self.manifest.revision!r})"

    def packages(self) -> tuple[str, ...]:
        """The packages of its modules, as entry points: ``a/b``."""
        found = {"/".join(package_of(source) or ()) for source in self.modules.values()}
        return tuple(sorted(found - {""}))

    def entrypoints(self) -> tuple[str, ...]:
        """What its plan can evaluate; nothing where it has none.

        Raises:
            PolicyLoadError: The plan is no plan.
        """
        return () if self.plan is None else tuple(self._plans(self.plan)[1])

    def plan_for(self, entrypoints: Sequence[str] | None) -> Any:
        """The content of its plan, if that has all `entrypoints` (None: any), else None.

        Raises:
            PolicyLoadError: The plan is no plan.
        """
        if self.plan is None:
            return None
        document, names = self._plans(self.plan)
        return document if set(entrypoints or ()) <= set(names) else None

    def _plans(self, plan: bytes) -> tuple[Any, list[str]]:
        place = place_in(self.name, PLAN)
        document = documents.json_document(plan, place)
        match document:
            case {"plans": {"plans": list(plans)}}:
                names = [plan.get("name") for plan in plans if isinstance(plan, dict)]
                return document, [name for name in names if isinstance(name, str)]
        raise PolicyLoadError("the plan is none", file=place)

    @property
    def is_delta(self) -> bool:
        """Whether it holds changes of another bundle's data."""
        return self.patch is not None


def open_bundle(
    source: str | Path | bytes, limits: ArchiveLimits = archive.DEFAULT_LIMITS
) -> Bundle:
    """The bundle in a file, in a directory, or in the content of an archive.

    Raises:
        PolicyLoadError: It cannot be read, or is refused.
    """
    files, name = open_files(source, limits)
    return Bundle.of(files, name)


def open_files(
    source: str | Path | bytes, limits: ArchiveLimits = archive.DEFAULT_LIMITS
) -> tuple[dict[str, bytes], str]:
    """The files of a bundle by path, and what errors call it; see :func:`open_bundle`.

    Raises:
        PolicyLoadError: It cannot be read, or is refused.
    """
    if isinstance(source, bytes):
        return archive.read_archive(source, _NAMELESS, limits), _NAMELESS
    path = Path(source)
    name = path.as_posix()
    if path.is_dir():
        return archive.read_directory(path, limits), name
    return archive.read_archive(archive.read_bytes(path, limits), name, limits), name


def package_of(source: str) -> tuple[str, ...] | None:
    """The path of a module's package; None where it does not begin with one that is read here."""
    found = _PACKAGE.match(source.removeprefix("\ufeff"))
    if found is None:
        return None
    return tuple(quoted or plain for quoted, plain in _PART.findall(found.group(1)))


def _is_data(path: str) -> bool:
    return path.rpartition("/")[2] in _DATA


def _check_names(files: Mapping[str, bytes], name: str) -> None:
    """Refuses what OPA would read, and what is not read here."""
    for path in files:
        last = path.rpartition("/")[2]
        if last in _FOREIGN:
            raise PolicyLoadError(_FOREIGN[last], file=place_in(name, path))
        if path.endswith(".manifest.pb"):
            raise PolicyLoadError("manifests are read as JSON only", file=place_in(name, path))
        for ending, own in ((".manifest", MANIFEST), ("signatures.json", SIGNATURES)):
            if path.endswith(ending) and path != own:
                message = f"OPA would take it for `{own}`, which stands at the top of a bundle"
                raise PolicyLoadError(message, file=place_in(name, path))
        if last == PATCH and path != PATCH:
            message = f"`{PATCH}` stands at the top of a bundle"
            raise PolicyLoadError(message, file=place_in(name, path))


def _modules(files: Mapping[str, bytes], name: str, manifest: Manifest) -> dict[str, str]:
    modules: dict[str, str] = {}
    for path, content in sorted(files.items()):
        if not path.endswith(".rego"):
            continue
        place = place_in(name, path)
        source = documents.text_of(content, place)
        package = package_of(source)
        if package is None:
            message = "the module does not begin with a plain `package a.b.c`"
            raise PolicyLoadError(message, file=place, row=1)
        if not contains(manifest.roots, package):
            listed = ", ".join(f"`{root}`" for root in manifest.roots)
            message = f"the package `{'.'.join(package)}` is outside of the bundle's roots {listed}"
            raise PolicyLoadError(message, file=place)
        if path.endswith(_TEST) and package[0] != "guardrails":
            continue
        if manifest.version_of(path) == 0 and PLAN not in files and not _V1_IMPORT.search(source):
            message = (
                "it is Rego v0; rewrite it (`opa fmt --rego-v1`), or build the bundle with"
                " `-t plan`"
            )
            raise PolicyLoadError(message, file=place)
        modules[place] = source
    return modules


def _data(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for path, content in sorted(files.items()):
        directory, _, last = path.rpartition("/")
        read = _DATA.get(last)
        if read is None:
            continue
        place = place_in(name, path)
        value = read(content, place)
        for part in reversed(directory.split("/") if directory else ()):
            value = {part: value}
        if not isinstance(value, dict):
            raise PolicyLoadError("the data at the top of a bundle are an object", file=place)
        documents.check_depth(value, place)
        _merge(data, value, place, "data")
    return data


def _merge(into: dict[str, Any], more: dict[str, Any], place: str, path: str) -> None:
    for key, value in more.items():
        if key not in into:
            into[key] = value
        elif isinstance(into[key], dict) and isinstance(value, dict):
            _merge(into[key], value, place, f"{path}.{key}")
        else:
            message = f"`{shown(path)}.{shown(key)}` stands in another data file too"
            raise PolicyLoadError(message, file=place)


def _check_data(data: dict[str, Any], roots: tuple[str, ...], name: str) -> None:
    """Refuses data outside of the roots; an object on the way to a root may stand there."""
    pending: list[tuple[tuple[str, ...], Any]] = [((), data)]
    while pending:
        path, value = pending.pop()
        if contains(roots, path):
            continue
        leads = any(root.split("/")[: len(path)] == list(path) for root in roots)
        if not (isinstance(value, dict) and leads):
            listed = ", ".join(f"`{root}`" for root in roots) or "none"
            where = shown("/".join(path))
            message = f"the data at `{where}` are outside of the bundle's roots {listed}"
            raise PolicyLoadError(message, file=name)
        pending.extend(((*path, key), item) for key, item in value.items())


def _check_delta(files: Mapping[str, bytes], name: str) -> None:
    for path in files:
        if path.endswith(".rego") or _is_data(path) or path.rpartition("/")[2] == PLAN:
            message = "a delta bundle holds a patch and a manifest, and no policies nor data"
            raise PolicyLoadError(message, file=place_in(name, path))


__all__ = [
    "MANIFEST",
    "PATCH",
    "PLAN",
    "SIGNATURES",
    "Bundle",
    "open_bundle",
    "open_files",
    "package_of",
]
