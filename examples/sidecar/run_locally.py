"""OPA on a Unix socket and the agent beside it, without containers.

    python run_locally.py
    python run_locally.py --build     # only write what OPA needs to build/: for containers

Needs ``guardrails`` and an ``opa`` binary (``OPA`` names one that is not on PATH).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from guardrails.rego.opa_binary import find_opa
from guardrails.resources import policies_directory

HERE = Path(__file__).resolve().parent


def build(target: Path, opa: str) -> None:
    """Write to `target` the bundle, OPA's configuration, and who may ask OPA for what."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        exported = f"{folder}/bundle"
        guardrails = str(Path(sys.executable).with_name("guardrails"))
        # The environment is no part of policies; any will do to read the configuration.
        environment = {"GUARDRAILS_ENVIRONMENT": "dev", **os.environ}
        export = [guardrails, "policy", "export", exported]
        subprocess.run(export, cwd=HERE, env=environment, check=True)
        bundle = str(target / "authz.tar.gz")
        subprocess.run([opa, "build", "--bundle", exported, "--output", bundle], check=True)
    shutil.copy(HERE / "opa.yaml", target)
    shutil.copy(policies_directory() / "system" / "authz.rego", target)


def run(opa: str, folder: str) -> None:
    """Start OPA with what is in `folder`, run the agent, stop OPA."""
    config = Path(folder, "opa.yaml")
    config.write_text(config.read_text("utf-8").replace("/etc/opa", folder), encoding="utf-8")
    # Whoever has the administration token may do more than ask for decisions. Nobody gets it.
    digest = hashlib.sha256(secrets.token_hex().encode()).hexdigest()
    command = [
        opa, "run", "--server", "--addr", f"unix://{folder}/opa.sock", "--unix-socket-perm", "600",
        "--authentication=token", "--authorization=basic", "--skip-version-check",
        "--log-level", "error", "--config-file", str(config), f"{folder}/authz.rego",
    ]  # fmt: skip
    environment = {**os.environ, "GUARDRAILS_OPA_TOKEN_SHA256": digest}
    server = subprocess.Popen(command, env=environment)
    try:
        environment = {
            **os.environ,
            "GUARDRAILS_ENVIRONMENT": "demo",
            "GUARDRAILS_SIDECAR__URL": f"unix://{folder}/opa.sock",
        }
        subprocess.run([sys.executable, HERE / "app.py"], env=environment, check=True)
    finally:
        server.terminate()
        server.wait(30)


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", action="store_true", help="only write build/")
    only_build = parser.parse_args().build
    opa = find_opa()
    if opa is None:
        raise SystemExit("there is no `opa` binary; put it on PATH, or name it by OPA")
    if only_build:
        build(HERE / "build", opa)
        return
    with tempfile.TemporaryDirectory(prefix="opa-") as folder:
        build(Path(folder), opa)
        run(opa, folder)


if __name__ == "__main__":
    main()
