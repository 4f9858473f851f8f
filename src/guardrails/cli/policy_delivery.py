"""``guardrails policy export`` and ``push``: the policies of a project for an OPA server.

What is delivered is what an engine in this process decides with: all layers, without their tests,
and their data with the agents of the register. It is loaded first; what does not load stays here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from guardrails.cli.console import output, plain
from guardrails.cli.engine_facts import short
from guardrails.cli.policy_sources import nearby
from guardrails.config import Config
from guardrails.config.engine import SidecarConfig
from guardrails.config.layers import policy_files
from guardrails.decider import tls_of, token_of
from guardrails.engines.in_process import InProcessEngine
from guardrails.errors import ConfigError
from guardrails.opa.administration import Administration
from guardrails.register import Register
from guardrails.rego.values import dumps, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guardrails.engines.in_process import Loaded

_PACKAGE: Final = re.compile(r"^package[ \t]+([A-Za-z_][\w.]*)", re.MULTILINE)
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9_.-]")
_OURS: Final = "guardrails/"
"""How the ids of the modules that are pushed begin."""

_ENTRY: Final = "guardrails"
"""The package of the decision."""


def export(
    directory: Annotated[
        Path, typer.Argument(help="Where to write it; made if need be, else it must be empty.")
    ],
) -> None:
    """Write the policies and data of guardrails.yaml as a directory that `opa build` takes.

    Its manifest has the roots, and the revision by which this process knows the
    same policies. Build it with `opa build --bundle DIRECTORY --output bundle.tar.gz`.
    """
    loaded = _loaded(Config.find())
    _make_empty(directory)
    for name, text in _named(loaded.modules).items():
        path = directory / f"{name}.rego"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    data: Any = to_json(loaded.data)
    (directory / "data.json").write_text(dumps(loaded.data) + "\n", encoding="utf-8")
    packages = {_package(text).partition(".")[0] for text in loaded.modules.values()}
    manifest = {
        "revision": loaded.revision,
        "roots": sorted(packages | set(data)),
        "rego_version": 1,
    }
    (directory / ".manifest").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    output().print(
        plain(
            f"{nearby(directory.absolute())}: {len(loaded.modules)} modules,"
            f" revision {short(loaded.revision)}"
        )
    )


def push(
    *,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="URL",
            help="The OPA server: `unix:///path`, `http://…`, `https://…`. Without it `sidecar` of"
            " guardrails.yaml.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="A file with the administration token.")
    ] = None,
    token_env: Annotated[
        str | None, typer.Option("--token-env", help="The variable with the administration token.")
    ] = None,
) -> None:
    """Put the policies and data of guardrails.yaml onto an OPA server.

    For development: a server in production loads bundles, which are swapped as a
    whole and survive its restart. While this works, the server decides nothing, and
    every call that asks it is refused.
    """
    config = Config.find()
    target = _target(config, server, token_file, token_env)
    loaded = _loaded(config)
    named = _named(loaded.modules)
    # The decision goes first and comes back last: half of the rules must not decide.
    entries = {name for name, text in named.items() if _package(text) == _ENTRY}
    data: dict[str, Any] = to_json(loaded.data)
    with Administration(target.url, token=token_of(target), tls=tls_of(target)) as there:
        known = {each for each in there.policies() if each.startswith(_OURS)}
        for policy in sorted(known, key=lambda each: each not in _ids(entries)):
            if policy in _ids(entries) or policy not in _ids(named):
                there.delete_policy(policy)
        for root, document in data.items():
            there.put_data(root, document)
        for name in sorted(named, key=lambda each: (each in entries, each)):
            there.put_policy(_OURS + name, named[name])
    output().print(
        plain(f"{target.url}: {len(named)} modules, revision {short(loaded.revision)}"),
        soft_wrap=True,
    )


def _target(
    config: Config, server: str | None, token_file: Path | None, token_env: str | None
) -> SidecarConfig:
    configured = config.engine.sidecar
    if server is None and configured is None:
        msg = "which server? give --server, or `sidecar: {url: …}` in guardrails.yaml"
        raise ConfigError(msg)
    if token_file is not None and token_env is not None:
        raise ConfigError("give --token-file or --token-env, not both")
    # Where another server is named, the configured one's token is not shown to it.
    base = configured if configured is not None and server in (None, configured.url) else None
    own = token_file is not None or token_env is not None
    return SidecarConfig(
        url=server or (base.url if base is not None else ""),
        token_file=token_file if own or base is None else base.token_file,
        token_env=token_env if own or base is None else base.token_env,
        ca=None if base is None else base.ca,
        cert=None if base is None else base.cert,
        key=None if base is None else base.key,
    )


def _loaded(config: Config) -> Loaded:
    if config.engine.bundle is not None or config.engine.opa_config is not None:
        msg = "policies come from a bundle here; give that one to the server"
        raise ConfigError(msg)
    register = Register.load(nearby(config.agents))
    engine = InProcessEngine(policy_files(config), lambda: {"agents": register.policy_data()})
    return engine.loaded


def _named(modules: Mapping[str, str]) -> dict[str, str]:
    """The modules by names that are the same wherever their files lie."""
    named: dict[str, str] = {}
    for file, text in sorted(modules.items()):
        stem = _UNUSUAL.sub("_", PurePosixPath(file.replace("\\", "/")).stem)
        name = f"{_package(text).replace('.', '/')}/{stem}"
        number = 1
        while name in named:
            number += 1
            name = f"{_package(text).replace('.', '/')}/{stem}-{number}"
        named[name] = text
    return named


def _ids(names: Iterable[str]) -> set[str]:
    return {_OURS + name for name in names}


def _package(text: str) -> str:
    found = _PACKAGE.search(text)
    return found[1] if found else _ENTRY


def _make_empty(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise ConfigError(f"`{directory}` is not empty; name another, or empty it")
    except OSError as error:
        raise ConfigError(f"`{directory}` cannot be written: {error.strerror}") from error


__all__ = ["export", "push"]
