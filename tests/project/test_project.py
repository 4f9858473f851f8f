"""Laws about the tree itself: its pins, its suppressions, its files and what it ships."""

from __future__ import annotations

import ast
import functools
import io
import re
import subprocess
import tarfile
import tokenize
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling import build as backend

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
SETTINGS = tomllib.loads(PYPROJECT)
REQUIREMENTS = ROOT / "requirements"

LONGEST = 500
"""Lines; a longer source file says in its docstring why it is one file, naming this number."""

# Spelled in pieces, so that this file holds none of them.
REGISTRIES = [
    ".".join(host)
    for host in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("deb", "debian", "org"),
        ("repo1", "maven", "org"),
    )
]
INDEX_OPTIONS = ["--" + word for word in ("index-url", "extra-index-url", "find-links")]


@functools.cache
def tree() -> tuple[Path, ...]:
    """Every file that belongs to the tree, relative to its root: what git does not ignore."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
            encoding="utf-8",
        ).stdout.split("\0")
        found = [Path(name) for name in listed if name]
    except (OSError, subprocess.CalledProcessError):  # an unpacked sdist: no git, nothing ignored
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
        found = [path for path in found if "__pycache__" not in path.parts]
    return tuple(sorted(path for path in found if (ROOT / path).is_file()))


def python_files(*folders: str) -> list[Path]:
    return [path for path in tree() if path.suffix == ".py" and path.parts[0] in folders]


# ------------------------------------------------------------------------------- pins and places


def test_no_file_names_a_registry_or_an_index():
    unwanted = re.compile("|".join(map(re.escape, REGISTRIES + INDEX_OPTIONS)))
    found = []
    for path in tree():
        text = (ROOT / path).read_bytes().decode("utf-8", errors="replace")
        found += [
            f"{path}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(text.splitlines(), 1)
            if unwanted.search(line)
        ]
    assert not found


def pins(name: str) -> dict[str, str]:
    """Normalized name -> version of requirements/NAME.txt, each checked to carry a hash."""
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pin = re.match(r"([a-z0-9-]+)==(\S+)", line)
        assert pin, f"`{line[:60]}` is not pinned to one version"
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), f"`{pin[1]}` has no hash"
        found[pin[1]] = pin[2]
    return found


def names(requirements: list[str]) -> set[str]:
    """The normalized names of requirement lines."""
    bare = (re.match(r"[A-Za-z0-9._-]+", line.split("#")[0].strip()) for line in requirements)
    return {re.sub(r"[-_.]+", "-", match[0]).lower() for match in bare if match}


@pytest.mark.parametrize(
    ("pinned", "extras"),
    [
        ("dev", ["cli", "jwt", "jsonschema", "graphql"]),
        ("agentdojo", ["cli", "agentdojo"]),
        ("bench", []),
        ("peers", None),
        ("pip", None),
        ("go", None),
    ],
)
def test_every_dependency_is_pinned_with_hashes(pinned, extras):
    wanted = names((REQUIREMENTS / f"{pinned}.in").read_text(encoding="utf-8").splitlines())
    if extras is not None:
        project = SETTINGS["project"]
        wanted |= names(project["dependencies"])
        wanted |= names([line for e in extras for line in project["optional-dependencies"][e]])
    assert wanted
    assert wanted <= set(pins(pinned))


@pytest.mark.parametrize("pinned", ["agentdojo", "bench"])
def test_the_environments_agree_on_what_both_hold(pinned):
    ours, theirs = pins("dev"), pins(pinned)
    both = ours.keys() & theirs.keys()
    assert {name: ours[name] for name in both} == {name: theirs[name] for name in both}


# ------------------------------------------------------------------------------------ suppressions


def test_every_switched_off_rule_has_its_reason():
    lint = SETTINGS["tool"]["ruff"]["lint"]
    switched_off = [*lint["ignore"], *(c for cs in lint["per-file-ignores"].values() for c in cs)]
    section = PYPROJECT[PYPROJECT.index("[tool.ruff.lint]") :]
    section = section[: section.index("[tool.ruff.lint.flake8")]
    reasoned = re.findall(
        r'^  "([A-Z]+\d*)", +# (?:as [A-Z]+\d+|\w.{8,}).*$', section, flags=re.MULTILINE
    )
    assert sorted(reasoned) == sorted(switched_off)


NOQA = re.compile(r"noqa(?P<codes>:\s*[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+\b)*)?", re.IGNORECASE)
IGNORE = re.compile(r"type:\s*ignore(?P<codes>\[[a-z0-9-]+(?:,\s*[a-z0-9-]+)*\])?")


def unreasoned(text: str) -> list[int]:
    """The lines of Python source whose suppression lacks its rule's code or a reason."""
    if not (NOQA.search(text) or IGNORE.search(text)):
        return []
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        said = token.string.lstrip("# ")
        rest = said
        coded = True
        for suppression in (NOQA, IGNORE):
            match = suppression.search(rest)
            if match and re.search(rf"(^|#\s*){re.escape(match[0])}", said):
                coded = coded and match["codes"] is not None
                rest = rest.replace(match[0], "")
        if rest != said and not (coded and re.search(r"[A-Za-z]{3,}", rest)):
            found.append(token.start[0])
    return found


def test_every_suppression_carries_its_rule_and_a_reason():
    found = {
        str(path): lines
        for path in python_files("src", "tests", "examples", "scripts", "benchmarks")
        if (lines := unreasoned((ROOT / path).read_text(encoding="utf-8")))
    }
    assert not found


@pytest.mark.parametrize(
    ("comment", "accepted"),
    [
        ("# a plain remark about noqa", True),
        ("# noqa" + ": BLE001 - the boundary of a phase", True),
        ("# type: " + "ignore[misc]  # the stub is wrong", True),
        ("# type: " + "ignore[misc]  # noqa: PGH003 the stub is wrong", True),
        ("# noqa" + "", False),
        ("# noqa" + ": BLE001", False),
        ("# noqa" + " the reason without its rule", False),
        ("# type: " + "ignore", False),
        ("# type: " + "ignore[misc]", False),
        ("# type: " + "ignore  # the reason without its code", False),
    ],
)
def test_a_bare_suppression_is_found(comment, accepted):
    assert (unreasoned(f"x = 1  {comment}\n") == []) is accepted


# -------------------------------------------------------------------------------------- the source


def test_a_long_file_says_why():
    found = []
    for path in python_files("src", "benchmarks"):
        text = (ROOT / path).read_text(encoding="utf-8")
        docstring = ast.get_docstring(ast.parse(text)) or ""
        if len(text.splitlines()) > LONGEST and str(LONGEST) not in docstring:
            found.append(str(path))
    assert not found


def test_no_file_is_a_drawer_for_everything():
    drawers = {"utils", "util", "helpers", "common", "misc"}
    found = [path for path in tree() if drawers & {path.stem, *path.parts}]
    assert not found


# --------------------------------------------------------------------------------------- commands


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs", ".ci/run"])
def test_every_make_command_that_a_document_names_exists(document):
    place = ROOT / document
    pages = sorted(place.rglob("*.md")) if place.is_dir() else [place]
    assert pages
    for page in pages:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"(?:^[ $]*|[`\"] ?)make ([a-z][a-z-]*)", text, re.MULTILINE))
        assert named <= targets(), page.name


def test_the_readme_leads_with_the_demo_and_the_tests():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^[ $]*make ([a-z-]+)", readme, re.MULTILINE)[:2] == ["demo", "test"]


def program(place: Path, text: str) -> Path:
    place.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    place.chmod(0o755)
    return place


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        ("1.20.0", True),
        ("1.17.0", True),
        ("v1.20.1", True),
        ("1.16.9", False),
        ("1.9.0", False),
        ("0.70.0", False),
        ("2.0.0", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_a_named_opa_is_taken_from_the_minimum_on(tmp_path, version, taken):
    named = program(tmp_path / "opa", f"echo 'Version: {version}'")
    placed = tmp_path / "tools" / "opa"
    done = subprocess.run(
        [ROOT / "scripts" / "opa.sh", placed],
        env={"OPA": str(named), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode == 0) is taken, done.stderr
    assert placed.exists() is taken
    assert taken or "at least 1.17.0" in done.stderr


def test_a_python_that_is_too_old_is_named(tmp_path):
    old = program(tmp_path / "python", 'case "$2" in *platform*) echo 3.9.18 ;; *) exit 1 ;; esac')
    done = subprocess.run(
        [ROOT / "scripts" / "python.sh"],
        env={"PYTHON": str(old), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 1
    assert "3.11 or later" in done.stderr
    assert f"`{old}` is 3.9.18" in done.stderr


# --------------------------------------------------------------------------------- what is shipped

SHIPPED = {
    "src/guardrails": "guardrails",
    "policies": "guardrails/_policies",
    "examples": "guardrails/_examples",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that the tree builds."""
    out = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return out / backend.build_wheel(str(out))


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_carries_the_package_its_policies_and_its_examples(wheel):
    expected = {
        path.as_posix().replace(source, shipped, 1)
        for source, shipped in SHIPPED.items()
        for path in tree()
        if path.as_posix().startswith(f"{source}/")
    }
    assert contents(wheel) == expected
    assert "guardrails/py.typed" in expected
    assert any(name.startswith("guardrails/_policies/") for name in expected)
    assert any(name.startswith("guardrails/_examples/") for name in expected)


def test_the_wheel_declares_its_scripts_and_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        meta = {Path(n).name: archive.read(n).decode() for n in archive.namelist() if "-info/" in n}
    assert "Name: guardrails-opa\n" in meta["METADATA"]
    assert "Requires-Python: >=3.11\n" in meta["METADATA"]
    assert "License-Expression: Apache-2.0\n" in meta["METADATA"]
    assert "Apache License" in meta["LICENSE"]
    scripts = re.findall(
        r"^([\w-]+) = guardrails\.cli:main$", meta["entry_points.txt"], re.MULTILINE
    )
    assert sorted(scripts) == ["guardrails", "guardrails-opa"]


def test_the_sdist_builds_the_same_wheel(wheel, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with tarfile.open(tmp_path / backend.build_sdist(str(tmp_path))) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(next(path for path in tmp_path.iterdir() if path.is_dir()))
    again = tmp_path / backend.build_wheel(str(tmp_path))
    assert contents(again) == contents(wheel)
