"""The example with its OPA: it runs without containers; its manifests are sound, and agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.examples.outside import ROOT, program

import guardrails
from guardrails.rego.opa_binary import find_opa

HERE = ROOT / "examples" / "sidecar"
COMPOSE: dict[str, Any] = yaml.safe_load((HERE / "compose.yaml").read_text("utf-8"))
DEPLOYMENT: dict[str, Any] = yaml.safe_load((HERE / "kubernetes.yaml").read_text("utf-8"))
POD: dict[str, Any] = DEPLOYMENT["spec"]["template"]["spec"]
OPAS = {"compose": COMPOSE["services"]["opa"]["command"], "pod": POD["initContainers"][0]["args"]}


@pytest.fixture(scope="module")
def opa() -> str:
    found = find_opa()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("OPA is missing: run `make opa`")
        pytest.skip("no OPA: run `make opa`")
    return found


@pytest.mark.slow
@pytest.mark.opa
def test_it_runs_without_containers(opa, tmp_path):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GUARDRAILS_")
    }
    environment |= {"OPA": opa, "PYTHONPATH": str(Path(guardrails.__file__).parents[1])}
    ran = subprocess.run(
        [sys.executable, HERE / "run_locally.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout
    assert re.search(r"^OPA 1\.\d+\.\d+ decides$", said, re.MULTILINE)
    assert "paid 418.20 for INV-1" in said
    assert "INV-2: denied: over 1000, or no amount" in said
    # OPA decides by the very revision that was exported.
    exported = re.search(r"revision ([0-9a-f]{12})$", said, re.MULTILINE)
    assert exported is not None
    assert f"by revision authz@sha256:{exported[1]}" in said


@pytest.mark.opa
def test_its_policies_pass_their_tests(opa):
    done = subprocess.run(
        [opa, "test", HERE / "policies"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^PASS: (\d+)/\1$", done.stdout, re.MULTILINE)


@pytest.mark.opa
@pytest.mark.parametrize("where", OPAS)
def test_opa_knows_every_option(opa, where):
    told = subprocess.run([opa, "run", "--help"], capture_output=True, text=True, check=True).stdout
    options = [word.partition("=")[0] for word in OPAS[where] if word.startswith("--")]
    assert len(options) >= 7
    assert [each for each in options if not re.search(rf"{re.escape(each)}\b", told)] == []


def test_both_containers_share_the_socket_that_the_configuration_names():
    config = yaml.safe_load((HERE / "guardrails.yaml").read_text("utf-8"))
    url = config["sidecar"]["url"]
    folder = str(Path(url.removeprefix("unix://")).parent)
    for arguments in OPAS.values():
        assert f"--addr={url}" in arguments
        # Nothing else but OPA's diagnostics listens, and these decide nothing.
        assert [each for each in arguments if each.startswith("--addr")] == [f"--addr={url}"]
        assert {"--authentication=token", "--authorization=basic"} <= set(arguments)
    for service in COMPOSE["services"].values():
        assert f"opa-socket:{folder}" in service["volumes"]
    containers = [*POD["initContainers"], *POD["containers"]]
    mounts = [{each["name"]: each["mountPath"] for each in c["volumeMounts"]} for c in containers]
    assert [each["opa-socket"] for each in mounts] == [folder, folder]


def test_both_containers_run_as_one_user_that_is_nobody():
    users = {service["user"] for service in COMPOSE["services"].values()}
    assert users == {"10001:10001"}
    context = POD["securityContext"]
    assert (context["runAsUser"], context["fsGroup"], context["runAsNonRoot"]) == (
        10001,
        10001,
        True,
    )
    for container in (*POD["initContainers"], *POD["containers"]):
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"]
        assert not confined["allowPrivilegeEscalation"]
        assert confined["capabilities"] == {"drop": ["ALL"]}


def test_opa_starts_before_the_agent_and_has_its_files_read_only():
    (sidecar,) = POD["initContainers"]
    assert sidecar["restartPolicy"] == "Always", "that makes it a sidecar container"
    assert sidecar["startupProbe"]["httpGet"]["path"] == "/health?bundles"
    assert {"name": "opa", "mountPath": "/etc/opa", "readOnly": True} in sidecar["volumeMounts"]
    assert COMPOSE["services"]["opa"]["network_mode"] == "none"
    assert "./build:/etc/opa:ro" in COMPOSE["services"]["opa"]["volumes"]


def test_opa_is_the_pinned_one():
    pinned = re.search(r"^pinned=(.*)$", (ROOT / "scripts/opa.sh").read_text("utf-8"), re.MULTILINE)
    assert pinned is not None
    image = f"openpolicyagent/opa:{pinned[1]}-static"
    assert COMPOSE["services"]["opa"]["image"] == POD["initContainers"][0]["image"] == image


def ran(name: str, *words: str | Path) -> str:
    done = subprocess.run(
        [program(name), *words], capture_output=True, text=True, timeout=100, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_compose_file_fits_the_published_schema():
    assert (
        ran("check-jsonschema", "--builtin-schema", "vendor.compose-spec", HERE / "compose.yaml")
        == ""
    )


def test_the_manifest_fits_the_published_schema(tmp_path):
    assert ran("kubernetes-validate", "--strict", HERE / "kubernetes.yaml") == ""
    wrong = (HERE / "kubernetes.yaml").read_text("utf-8").replace("emptyDir:", "emptyDri:")
    (tmp_path / "wrong.yaml").write_text(wrong)
    assert "emptyDri" in ran("kubernetes-validate", "--strict", tmp_path / "wrong.yaml")
