"""``guardrails bundle``: look into bundles of OPA's, and find out whether they would be taken."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from guardrails.cli.console import ExitCode, notices, output, plain, print_json
from guardrails.cli.policy_check import published_schema
from guardrails.cli.policy_sources import needed_opa
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.source import ENTRYPOINT, Bundles
from guardrails.errors import ConfigError, PolicyLoadError
from guardrails.opa.bundle_set import BundleSet
from guardrails.opa.keys import ALGORITHMS, Verification, VerificationKey
from guardrails.opa.signatures import is_signed, told_signature, verify
from guardrails.register.source import nearest, quoted
from guardrails.rego.archive import read_bytes
from guardrails.rego.bundle import Bundle, open_files
from guardrails.rego.lint import lint

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Look into bundles of OPA's; verify signatures, and that they decide.",
)

_KEY_ID: Final = "default"
"""OPA's name for the key of its command line."""


class BundleForm(StrEnum):
    """How the result is printed."""

    PRETTY = "pretty"
    JSON = "json"


_Path = Annotated[
    Path, typer.Argument(exists=True, help="A `bundle.tar.gz`, or a directory of a bundle's files.")
]
_Form = Annotated[BundleForm, typer.Option("--format", help="How the result is printed.")]


@app.command()
def inspect(bundle: _Path, *, form: _Form = BundleForm.PRETTY) -> None:
    """Show manifest, roots, files, packages, entry points and signature of a bundle.

    Nothing is verified: what a signature says of itself is shown as that.
    """
    files, name = open_files(bundle)
    found = Bundle.of(files, name)
    signature = told_signature(files, name) if is_signed(files) else None
    document = _described(found, signature)
    if form is BundleForm.JSON:
        print_json(document)
    else:
        _print_described(document)


@app.command("verify")
def verify_(  # noqa: PLR0913  # OPA's flags, each by its name
    bundle: _Path,
    *,
    verification_key: Annotated[
        str | None,
        typer.Option(
            "--verification-key",
            metavar="PEM",
            help="The public key or secret that must have signed it, or a file that holds that.",
        ),
    ] = None,
    verification_key_id: Annotated[
        str, typer.Option("--verification-key-id", help="The id of that key.")
    ] = _KEY_ID,
    algorithm: Annotated[
        str, typer.Option("--algorithm", "--signing-alg", help="The algorithm of that key.")
    ] = "RS256",
    scope: Annotated[str, typer.Option(help="The scope that the signature must have.")] = "",
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run `policy check` over its modules.")
    ] = True,
    form: _Form = BundleForm.PRETTY,
) -> None:
    """Say whether a bundle would be taken: signature, roots, load checks, a first decision.

    Without a key a bundle that is signed fails, and so does one that is not
    signed where a key is given. What is refused exits with 1.
    """
    verification = _verification(verification_key, verification_key_id, algorithm, scope)
    with notices().status("verifying"):
        report = _verified(bundle, verification, check=check)
    if form is BundleForm.JSON:
        print_json(report)
    else:
        for step in report["steps"]:
            style = "green" if step["ok"] else "bold red"
            word = plain("ok  " if step["ok"] else "fail", style)
            output().print(word, plain(step["what"]), soft_wrap=True)
            for line in step["said"]:
                output().print(plain(f"      {line}"), soft_wrap=True)
    if not report["ok"]:
        raise typer.Exit(ExitCode.FINDING)


def _verification(key: str | None, keyid: str, algorithm: str, scope: str) -> Verification | None:
    if algorithm not in ALGORITHMS:
        hint = nearest(algorithm, ALGORITHMS)
        msg = f"--algorithm: `{algorithm}` is not known{hint}; there are {quoted(ALGORITHMS)}"
        raise ConfigError(msg)
    if key is None:
        if scope:
            raise ConfigError("--scope: give the key, too, with --verification-key")
        return None
    text = key
    if "-----BEGIN" not in key and Path(key).is_file():
        try:
            text = read_bytes(Path(key)).decode()
        except (PolicyLoadError, UnicodeDecodeError) as error:
            raise ConfigError(f"--verification-key: `{key}` cannot be read: {error}") from error
    return Verification({keyid: VerificationKey(text, algorithm)}, keyid, scope)


def _verified(path: Path, verification: Verification | None, *, check: bool) -> dict[str, Any]:
    """What a load of the bundle would do, step by step, up to the first that fails."""
    steps: list[dict[str, Any]] = []

    def done(what: str) -> None:
        steps.append({"ok": True, "what": what, "said": []})

    try:
        files, name = open_files(path)
        done(f"{len(files)} files are read")
        signature = verify(files, verification, name)
        done(
            "it is not signed"
            if signature is None
            else f"it is signed by the key `{signature.keyid}` ({signature.algorithm})"
        )
        bundle = Bundle.of(files, name)
        done(f"manifest, roots and documents are sound, revision `{bundle.manifest.revision}`")
        if bundle.is_delta:
            done("it holds changes alone; whether they fit shows where they are applied")
            return {"ok": True, "revision": bundle.manifest.revision, "steps": steps}
        if bundle.modules and check:
            _check_policies(bundle)
            done("`policy check` finds nothing")
        if not bundle.modules and bundle.plan is None:
            done("it holds data alone")
            return {"ok": True, "revision": bundle.manifest.revision, "steps": steps}
        engine = _engine(bundle)
        done(f"it loads, and `{ENTRYPOINT}` decides, as revision `{engine.revision}`")
    except PolicyLoadError as error:
        steps.append({"ok": False, "what": "it is refused", "said": str(error).splitlines()})
        return {"ok": False, "revision": "", "steps": steps}
    return {"ok": True, "revision": engine.revision, "steps": steps}


def _engine(bundle: Bundle) -> InProcessEngine:
    """The engine as it would decide; agents are given where the bundle has none."""
    its = bundle.data.get("guardrails_data")
    given: dict[str, Any] = {} if isinstance(its, dict) and "agents" in its else {"agents": {}}
    source = Bundles(BundleSet.of({bundle.name: bundle}))
    return InProcessEngine(source, lambda: given, cache=None)


def _check_policies(bundle: Bundle) -> None:
    opa = needed_opa("regopy", None)
    found = lint(
        bundle.modules,
        data=bundle.data,
        opa=opa,
        use_opa=opa is not None,
        input_schema=published_schema("input"),
        data_schema=published_schema("data"),
        compare=0,
    )
    if found:
        lines = "\n".join(
            f"{each.file}:{each.row}:{each.col}: {each.message} [{each.rule_id}]" for each in found
        )
        raise PolicyLoadError(f"`policy check` finds {len(found)}:\n{lines}")


def _described(bundle: Bundle, signature: Mapping[str, Any] | None) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "bundle": bundle.name,
        "type": "delta" if bundle.is_delta else "snapshot",
        "manifest": {
            "revision": manifest.revision,
            "roots": list(manifest.roots),
            "rego_version": manifest.rego_version,
            "metadata": dict(manifest.metadata),
            "written": manifest.written,
        },
        "signature": None if signature is None else dict(signature),
        "packages": [each.replace("/", ".") for each in bundle.packages()],
        "data": sorted(bundle.data),
        "plan": bundle.plan is not None,
        "entrypoints": list(bundle.entrypoints()),
        "patch": [f"{each.op} /{'/'.join(each.path)}" for each in bundle.patch or ()],
        "files": [{"path": path, "bytes": size} for path, size in sorted(bundle.sizes.items())],
    }


def _print_described(document: Mapping[str, Any]) -> None:
    manifest, signature = document["manifest"], document["signature"]
    total = sum(each["bytes"] for each in document["files"])
    rows = [
        ("bundle", f"{document['bundle']} ({document['type']})"),
        ("revision", manifest["revision"] or "-"),
        ("roots", ", ".join(f"`{root}`" for root in manifest["roots"])),
        ("rego version", manifest["rego_version"] if manifest["rego_version"] is not None else "-"),
        ("signature", _told(signature)),
        ("packages", ", ".join(document["packages"]) or "-"),
        ("data", ", ".join(document["data"]) or "-"),
        ("plan.json", ", ".join(document["entrypoints"]) if document["plan"] else "-"),
        ("files", f"{len(document['files'])}, {total} bytes"),
    ]
    for name, value in rows:
        output().print(plain(f"{name:<13}", "bold"), plain(value), soft_wrap=True)
    for each in document["files"]:
        output().print(plain(f"{each['bytes']:>12}  {each['path']}"), soft_wrap=True)
    for each in document["patch"]:
        output().print(plain(f"      {each}"), soft_wrap=True)


def _told(signature: Mapping[str, Any] | None) -> str:
    if signature is None:
        return "-"
    scope = f", scope `{signature['scope']}`" if signature["scope"] else ""
    return (
        f"says key `{signature['keyid']}`, {signature['algorithm']}{scope}, "
        f"{signature['files']} files; not verified"
    )
