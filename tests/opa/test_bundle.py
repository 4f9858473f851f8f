"""What is taken for a bundle, and what OPA takes for one: the same data, or a refusal here."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from tests.opa.archives import DECISION, MASK, manifest, packed, policy_files

from guardrails.errors import PolicyLoadError
from guardrails.opa.bundle_set import BundleSet
from guardrails.rego import Program
from guardrails.rego.bundle import Bundle, package_of
from guardrails.rego.bundle_documents import DEPTH
from guardrails.rego.values import to_json

DEEP = b"[" * (DEPTH + 2) + b"]" * (DEPTH + 2)
LAUGHS = "".join(
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
    ]
).encode()

TAKEN: dict[str, dict[str, bytes]] = {
    "no manifest": {"data.json": b'{"a": 1}'},
    "data by path": {"a/b/data.json": b"[1]", "a/data.json": b'{"c": {"d": 2}}'},
    "yaml": {"a/data.yaml": b"x: 1e3\ny: [1, 2.50]\nz: yes\nt: 2024-01-01\n"},
    "yml": {"a/data.yml": b"x: 017\n"},
    "yaml aliases": {"data.yaml": b"a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2\n"},
    "files merged": {"data.json": b'{"a": {"b": 1}}', "a/data.yaml": b"c: 2"},
    "other files": {"data.json": b"{}", "README.md": b"#", "x/y.txt": b"", "schema.json": b"["},
    "big numbers": {"data.json": b'{"a": 123456789012345678901234567890, "b": 1E3, "c": 1.50}'},
    "unknown manifest keys": {".manifest": b'{"roots": ["a"], "x": 1}', "a/data.json": b"1"},
    "roots with slashes": {".manifest": manifest("", ["/a/b/"]), "a/b/data.json": b"[]"},
    "a value at a root": {".manifest": manifest("", ["a/b"]), "a/data.json": b'{"b": 1}'},
    "a module at a root": {".manifest": manifest("r", ["a/b"]), "x.rego": b"package a.b.c"},
    "a quoted package": {".manifest": manifest("r", ["a"]), "x.rego": b'package a["b-c"].d'},
    "v0 with the import of v1": {
        ".manifest": manifest("r", rego_version=0),
        "x.rego": b"package a\n\nimport rego.v1\n\np if true\n",
    },
    "a text with escapes": {"data.json": rb'{"a": "\u20ac \ud83d\ude00 \u0000"}'},
}
"""What OPA takes, too."""

REFUSED: dict[str, dict[str, bytes]] = {
    "no roots": {".manifest": manifest("r", []), "x.txt": b"", "data.json": b"{}"},
    "data that disagree": {"data.json": b'{"a": {"b": 1}}', "a/data.json": b'{"b": 1}'},
    "data over data": {"data.json": b'{"a": 1}', "a/b/data.json": b"2"},
    "data outside the roots": {".manifest": manifest("", ["a"]), "b/data.json": b"1"},
    "data above the roots": {".manifest": manifest("", ["a/b"]), "a/data.json": b'{"c": 1}'},
    "a value above a root": {".manifest": manifest("", ["a/b"]), "data.json": b'{"a": 1}'},
    "a module outside": {".manifest": manifest("", ["a"]), "a/x.rego": b"package ab"},
    "roots that overlap": {".manifest": manifest("", ["a", "a/b"]), "a/data.json": b"{}"},
    "roots of no texts": {".manifest": b'{"roots": [1]}', "data.json": b"{}"},
    "no json": {"data.json": b"{"},
    "two documents": {"data.json": b"{} {}"},
    "an array at the top": {"data.json": b"[]"},
    "a number at the top": {"data.yaml": b"7"},
    "no yaml": {"data.yaml": b"a: [1\nb"},
    "laughs": {"data.yaml": LAUGHS},
    "no module": {"x.rego": b"pakage a"},
    "an empty module": {"x.rego": b""},
    "an unknown Rego": {".manifest": manifest("", rego_version=7), "x.rego": b"package a"},
    "a manifest that is none": {".manifest": b"[]", "data.json": b"{}"},
    "a manifest of the wrong type": {".manifest": b'{"revision": 1}', "data.json": b"{}"},
    "NaN": {"data.json": b'{"a": NaN}'},
    "delta with data": {
        "patch.json": b'{"data": [{"op": "remove", "path": "a"}]}',
        "data.json": b"{}",
    },
    "delta outside": {
        ".manifest": manifest("", ["a"]),
        "patch.json": b'{"data": [{"op": "remove", "path": "b/c"}]}',
    },
    "a second manifest": {
        ".manifest": manifest("r"),
        "a/.manifest": manifest("s"),
        "data.json": b"{}",
    },
    "wasm that is missing": {
        ".manifest": manifest("r", wasm=[{"entrypoint": "a/b", "module": "/policy.wasm"}]),
        "data.json": b"{}",
    },
}
"""What OPA refuses, too."""

STRICTER: dict[str, dict[str, bytes]] = {
    "v0": {".manifest": manifest("", rego_version=0), "x.rego": b"package a\n\np[x] { x := 1 }\n"},
    "v0 of one file": {
        ".manifest": manifest("", file_rego_versions={"/x.rego": 0}),
        "x.rego": b"package a\n\np[x] { x := 1 }\n",
    },
    "a name given twice": {"data.json": b'{"a": 1, "a": 2}'},
    "nested deeply": {"a/data.json": DEEP},
    "a lone surrogate": {"data.json": rb'{"a": "\ud800"}'},
    "no utf-8": {"data.json": b'{"a": "\xff"}'},
    "a manifest elsewhere": {"a/.manifest": manifest("r"), "data.json": b"{}"},
    "wasm": {"policy.wasm": b"", "data.json": b"{}"},
    "an exponent": {"data.json": b'{"a": 1e99999}'},
    "another case": {".manifest": b'{"Roots": ["a"]}', "a/data.json": b"{}"},
    "a revision of two lines": {".manifest": manifest("a\nb"), "data.json": b"{}"},
    "nothing": {"README.md": b"#"},
    "long yaml": {"data.yaml": b"a: " + b"x" * (1 << 18)},
}
"""What OPA takes, and here is refused on purpose."""


def opas(opa: str, files: dict[str, bytes], folder) -> Any:
    """The data that OPA loads; None if it refuses."""
    archive = folder / "b.tar.gz"
    archive.write_bytes(packed(files))
    command = [opa, "eval", "--bundle", str(archive), "--format=json", "data"]
    ran = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if ran.returncode:
        return None
    (result,) = json.loads(ran.stdout)["result"]
    return result["expressions"][0]["value"]


@pytest.mark.opa
@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_gives_the_data_that_opa_gives(name, opa, tmp_path) -> None:
    files = TAKEN[name]
    bundle = Bundle.of(files, "b")
    theirs = opas(opa, files, tmp_path)
    assert theirs is not None
    for module in bundle.modules.values():
        place = theirs
        *way, last = package_of(module) or ()
        for part in way:
            place = place[part]
        del place[last]
    ours = json.loads(json.dumps(to_json(dict(bundle.data)), default=float))
    assert _without_empty(theirs) == _without_empty(ours)


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        inner = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in inner.items() if item != {}}
    return value


@pytest.mark.opa
@pytest.mark.parametrize("name", REFUSED)
def test_what_opa_refuses_is_refused(name, opa, tmp_path) -> None:
    with pytest.raises(PolicyLoadError) as caught:
        _loaded(REFUSED[name])
    assert "b" in str(caught.value)
    assert opas(opa, REFUSED[name], tmp_path) is None


@pytest.mark.opa
@pytest.mark.parametrize("name", STRICTER)
def test_what_opa_takes_and_readers_could_see_differently_is_refused(name, opa, tmp_path) -> None:
    with pytest.raises(PolicyLoadError):
        _loaded(STRICTER[name])
    assert opas(opa, STRICTER[name], tmp_path) is not None


def _loaded(files: dict[str, bytes]) -> None:
    bundle = Bundle.of(files, "b")
    if bundle.modules:
        Program.from_bundle(packed(files))


def test_tests_are_left_out_unless_they_would_take_part_in_decisions() -> None:
    files = {
        **policy_files("r"),
        ".manifest": manifest("r"),
        "a_test.rego": b"package guardrails_test.a",
        "b_test.rego": b"package guardrails.rules.b",
    }
    modules = Bundle.of(files, "b").modules
    assert [path for path in modules if "_test" in path] == ["b:b_test.rego"]


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("package a", ("a",)),
        ("\ufeff# c\n\n package a.b # d\n", ("a", "b")),
        ('package a["x y"].c\n', ("a", "x y", "c")),
        ("package a;p := 1", ("a",)),
        ("package a p := 1", None),
        ("package", None),
        ("# package a", None),
        ("import a\npackage b", None),
        ("package a.\nb", None),
    ],
)
def test_the_package_of_a_module(source, package) -> None:
    assert package_of(source) == package


def test_bundles_are_one_set_if_their_roots_are_apart() -> None:
    policies = Bundle.of(
        {".manifest": manifest("7", ["guardrails"]), "m.rego": (DECISION % "x").encode()}, "p"
    )
    data = Bundle.of(
        {
            ".manifest": manifest("8", ["guardrails_data"]),
            "guardrails_data/data.json": b'{"trusted": ["a"]}',
        },
        "d",
    )
    mask = Bundle.of({".manifest": manifest("", ["system/log"]), "m.rego": MASK.encode()}, "m")
    found = BundleSet.of({"policies": policies, "data": data, "mask": mask})
    assert found.revision == "data=8,policies=7"
    assert set(found.modules) == {"policies:m.rego", "mask:m.rego"}
    assert found.data == {"guardrails_data": {"trusted": ["a"]}}
    whole = Bundle.of({"data.json": b"{}", "x.rego": b"package x"}, "w")
    for other in (whole, policies):
        with pytest.raises(PolicyLoadError, match="overlap"):
            BundleSet.of({"policies": policies, "z": other})


def test_data_of_two_bundles_meet_without_being_changed() -> None:
    one, two = (
        Bundle.of(
            {".manifest": manifest(name, [f"a/{name}"]), f"a/{name}/data.json": b'{"x": {}}'}, name
        )
        for name in ("b", "c")
    )
    found = BundleSet.of({"one": one, "two": two})
    assert found.data == {"a": {"b": {"x": {}}, "c": {"x": {}}}}
    assert one.data == {"a": {"b": {"x": {}}}}


def test_a_program_is_made_of_a_bundle_in_every_form(tmp_path) -> None:
    files = policy_files("r1")
    for path, content in files.items():
        (tmp_path / "d" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / path).write_bytes(content)
    (tmp_path / "b.tar.gz").write_bytes(packed(files))
    for source in (packed(files), tmp_path / "b.tar.gz", str(tmp_path / "d")):
        program = Program.from_bundle(source, ["guardrails/decision"])
        for agent, effect in (("a", "allow"), ("b", "deny")):
            found = program.evaluate("guardrails/decision", {"agent": {"id": agent}})
            assert found["effect"] == effect
    assert Program.from_bundle(packed(files)).entrypoints == ("guardrails",)
    with pytest.raises(PolicyLoadError, match="guardrails_data"):
        Program.from_bundle(packed(files), data={"guardrails_data": {}})


@pytest.mark.opa
def test_a_plan_by_opa_takes_the_place_of_planning_and_is_checked_alike(opa, tmp_path) -> None:
    for path, content in policy_files("r1").items():
        (tmp_path / "d" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / path).write_bytes(content)
    command = [opa, "build", "-b", "d", "-t", "plan", "-e", "guardrails/decision", "-o", "p.tar.gz"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    planned = Program.from_bundle(tmp_path / "p.tar.gz")
    assert planned.entrypoints == ("guardrails/decision",)
    sourced = Program.from_bundle(tmp_path / "d", ["guardrails/decision"])
    for agent in ("a", "b", None, 1):
        document = {"agent": {"id": agent}}
        one, two = (each.evaluate("guardrails/decision", document) for each in (planned, sourced))
        assert one == two
    assert Program.from_bundle(tmp_path / "p.tar.gz", ["guardrails"]).entrypoints == ("guardrails",)


@pytest.mark.opa
def test_a_plan_passes_no_check_that_a_policy_would_not_pass(opa, tmp_path) -> None:
    # OPA plans it; `denny` is heard by nobody.
    source = (
        "package guardrails\n\nimport rego.v1\n\ndefault decision := 1\n\n"
        "decision := 2 if data.guardrails.rules.x.denny\n"
    )
    rule = 'package guardrails.rules.x\n\nimport rego.v1\n\ndenny contains "a" if input.b\n'
    (tmp_path / "m.rego").write_text(source)
    (tmp_path / "x.rego").write_text(rule)
    command = [opa, "build", "-b", ".", "-t", "plan", "-e", "guardrails/decision", "-o", "p.tar.gz"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    with pytest.raises(PolicyLoadError, match="did you mean `deny`"):
        Program.from_bundle(tmp_path / "p.tar.gz")
    assert Program.from_bundle(tmp_path / "p.tar.gz", checked=False).entrypoints
