"""Which engine decides, and where its policies come from.

::

    engine: in_process           # or sidecar, verified
    sidecar:
      url: unix:///run/opa/opa.sock    # or http://host:port, https://host:port
      deadline: 0.25             # seconds that a decision may take
      token_file: secrets/opa-token    # or token_env: OPA_TOKEN; never the token itself
      ca: certs/ca.pem           # with https: whom to trust,
      cert: certs/agent.pem      # and who this is
      key: certs/agent.key
      on_unavailable: refuse     # or in_process: decide here while OPA is out of reach
    verified: {share: 0.01, refusals: false}    # how much of it is checked by the sidecar
    bundle: bundle.tar.gz        # policies from a bundle, in place of directories
    opa_config: opa.yaml         # OPA's own file: policies from its bundle services
    reload: false                # true, or seconds: read directories again when they change
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Protocol, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from guardrails.register.source import Mapped, nearest, quoted, shown
from guardrails.register.words import Text  # noqa: TC001  # pydantic reads it at run time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from guardrails.register.source import KeyPath, Problem, Source

EngineName: TypeAlias = Literal["in_process", "sidecar", "verified"]
OnUnavailable: TypeAlias = Literal["refuse", "in_process"]

ENGINES: Final = ("in_process", "sidecar", "verified")
RELOAD_SECONDS: Final = 1.0
"""How often directories are looked at with ``reload: true``."""

_LONGEST_DEADLINE: Final = 60


@dataclass(frozen=True, slots=True)
class SidecarConfig:
    """How the OPA server is asked; all paths are absolute.

    Attributes:
        url: ``http://host:port``, ``https://host:port`` or ``unix:///path``.
        deadline: Seconds that a decision may take.
        token_file: The file with the bearer token.
        token_env: The environment variable with the bearer token.
        ca: The certificates to trust; None for the system's.
        cert: The client's certificate.
        key: Its key.
        on_unavailable: What happens while there is no answer.
    """

    url: str
    deadline: float = 0.25
    token_file: Path | None = None
    token_env: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    on_unavailable: OnUnavailable = "refuse"


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Which engine decides, and where its policies come from.

    Attributes:
        name: ``in_process``, ``sidecar`` or ``verified``.
        sidecar: The OPA server, if one is configured.
        share: The share of decisions that the verified engine checks.
        refusals: Whether it checks refusals, too.
        bundle: A bundle that holds the policies; None for directories.
        opa_config: OPA's own configuration file, if there is one.
        reload: Seconds between two looks at the policies' files; None to look only at start.
    """

    name: EngineName = "in_process"
    sidecar: SidecarConfig | None = None
    share: float = 0.01
    refusals: bool = False
    bundle: Path | None = None
    opa_config: Path | None = None
    reload: float | None = None

    @property
    def decides_here(self) -> bool:
        """Whether policies are evaluated in this process, if only while OPA is out of reach."""
        fallback = self.sidecar is not None and self.sidecar.on_unavailable == "in_process"
        return self.name != "sidecar" or fallback


DEFAULT_ENGINE: Final = EngineConfig()
"""What holds where the file says nothing."""


def _known(known: tuple[str, ...]) -> BeforeValidator:
    def check(value: object) -> object:
        if value not in known:
            hint = nearest(str(value), known)
            msg = f"{shown(value)} is not known{hint}; there are {quoted(known)}"
            raise ValueError(msg)
        return value

    return BeforeValidator(check)


def _number(low: float, high: float, needed: str) -> BeforeValidator:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            msg = f"{needed} is needed, not {shown(value)}"
            raise ValueError(msg)  # noqa: TRY004  # pydantic collects ValueError alone
        number = float(value)  # first: the exact 0.1 is less than the float
        if not low <= number <= high:
            msg = f"{needed} is needed, not {shown(value)}"
            raise ValueError(msg)
        return number

    return BeforeValidator(check)


def _reload(value: object) -> float | None:
    if isinstance(value, bool) or value is None:
        return RELOAD_SECONDS if value else None
    check: Any = _number(0.1, 3600, "`true`, `false` or a number of seconds from 0.1 to 3600").func
    found: float = check(value)
    return found


def _numeric(low: float, high: float) -> WithJsonSchema:
    return WithJsonSchema({"type": "number", "minimum": low, "maximum": high})


Share: TypeAlias = Annotated[float, _number(0, 1, "a share from 0 to 1"), _numeric(0, 1)]


class WrittenSidecar(Mapped):
    """The section ``sidecar``."""

    url: Text
    deadline: Annotated[
        float,
        _number(0.001, _LONGEST_DEADLINE, f"a number of seconds from 0.001 to {_LONGEST_DEADLINE}"),
        _numeric(0.001, _LONGEST_DEADLINE),
    ] = 0.25
    token_file: Text | None = None
    token_env: Text | None = None
    ca: Text | None = None
    cert: Text | None = None
    key: Text | None = None
    on_unavailable: Annotated[OnUnavailable, _known(("refuse", "in_process"))] = "refuse"


class WrittenVerified(Mapped):
    """The section ``verified``."""

    share: Share = 0.01
    refusals: bool = False


Engine: TypeAlias = Annotated[EngineName, _known(ENGINES)]
Reload: TypeAlias = Annotated[
    float | None,
    BeforeValidator(_reload),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": ["boolean", "null"]},
                {"type": "number", "minimum": 0.1, "maximum": 3600},
            ]
        }
    ),
]


class EngineKeys(Protocol):
    """The keys of the file that are about the engine."""

    @property
    def engine(self) -> EngineName: ...  # noqa: D102  # named as the key
    @property
    def sidecar(self) -> WrittenSidecar | None: ...  # noqa: D102  # named as the key
    @property
    def verified(self) -> WrittenVerified: ...  # noqa: D102  # named as the key
    @property
    def bundle(self) -> str | None: ...  # noqa: D102  # named as the key
    @property
    def opa_config(self) -> str | None: ...  # noqa: D102  # named as the key
    @property
    def reload(self) -> float | None: ...  # noqa: D102  # named as the key
    @property
    def policies(self) -> Collection[str]: ...  # noqa: D102  # named as the key


def engine_of(written: EngineKeys, base: Path) -> EngineConfig:
    """What the keys say, with paths from `base`."""
    sidecar = written.sidecar
    return EngineConfig(
        name=written.engine,
        sidecar=None
        if sidecar is None
        else SidecarConfig(
            url=sidecar.url,
            deadline=sidecar.deadline,
            token_file=_below(base, sidecar.token_file),
            token_env=sidecar.token_env,
            ca=_below(base, sidecar.ca),
            cert=_below(base, sidecar.cert),
            key=_below(base, sidecar.key),
            on_unavailable=sidecar.on_unavailable,
        ),
        share=written.verified.share,
        refusals=written.verified.refusals,
        bundle=_below(base, written.bundle),
        opa_config=_below(base, written.opa_config),
        reload=written.reload,
    )


def engine_problems(written: EngineKeys, source: Source, base: Path) -> Iterator[Problem]:
    """What does not go together, and files that are named and not there."""
    sidecar = written.sidecar
    if sidecar is None:
        if written.engine != "in_process":
            yield source.problem(
                ("engine",), f"`{written.engine}` needs an OPA server: `sidecar: {{url: …}}`"
            )
    else:
        yield from _sidecar_problems(sidecar, source, base)
        if written.engine == "verified" and sidecar.on_unavailable == "in_process":
            # After a divergence the engine that was found to differ must not decide again.
            yield source.problem(
                ("sidecar", "on_unavailable"), "with `engine: verified` it is `refuse`"
            )
    if written.bundle is not None and not (base / written.bundle).exists():
        yield source.problem(("bundle",), f"`{base / written.bundle}` does not exist")
    if written.opa_config is not None and not (base / written.opa_config).is_file():
        yield source.problem(("opa_config",), f"`{base / written.opa_config}` is no file")
    if written.bundle is not None and written.opa_config is not None:
        yield source.problem(
            ("bundle",), "policies come from `bundle` or by `opa_config`, not from both"
        )
    if written.reload is not None:
        if _opa_alone(written):
            yield source.problem(
                ("reload",), "with `engine: sidecar` no file is read here; leave it out"
            )
        elif written.opa_config is not None and not written.policies:
            yield source.problem(
                ("reload",),
                "the bundles of `opa_config` are asked for as its `polling` says; leave it out",
            )


def engine_warnings(written: EngineKeys, source: Source) -> Iterator[Problem]:
    """What is said and, by this engine, decides nothing."""
    given: Collection[object] = source.value if isinstance(source.value, dict) else ()
    if "verified" in given and written.engine != "verified":
        yield source.problem(
            ("verified",), f"has no effect with `engine: {written.engine}`", of_key=True
        )
    for key in ("bundle", "planner"):
        if key in given and _opa_alone(written):
            message = "has no effect on calls with `engine: sidecar`: OPA decides by its own"
            yield source.problem((key,), message, of_key=True)


def _opa_alone(written: EngineKeys) -> bool:
    sidecar = written.sidecar
    falls_back = sidecar is not None and sidecar.on_unavailable == "in_process"
    return written.engine == "sidecar" and not falls_back


def _sidecar_problems(sidecar: WrittenSidecar, source: Source, base: Path) -> Iterator[Problem]:
    within: KeyPath = ("sidecar",)
    if not sidecar.url.startswith(("unix://", "http://", "https://")):
        yield source.problem(
            (*within, "url"),
            f"{shown(sidecar.url)} is no address; one is `unix:///path`, `http://host:port` or"
            " `https://host:port`",
        )
    if sidecar.token_file is not None and sidecar.token_env is not None:
        yield source.problem((*within, "token_env"), "give `token_file` or `token_env`, not both")
    if (sidecar.cert is None) is not (sidecar.key is None):
        name = "cert" if sidecar.key is None else "key"
        yield source.problem((*within, name), "`cert` and `key` belong together")
    for name in ("ca", "cert", "key"):
        path = getattr(sidecar, name)
        if path is None:
            continue
        if not sidecar.url.startswith("https://"):
            yield source.problem((*within, name), "is for a `url` that begins with `https://`")
        elif not (base / path).is_file():
            yield source.problem((*within, name), f"`{base / path}` is no file")


def _below(base: Path, path: str | None) -> Path | None:
    return None if path is None else base / path


__all__ = [
    "DEFAULT_ENGINE",
    "ENGINES",
    "Engine",
    "EngineConfig",
    "EngineKeys",
    "EngineName",
    "OnUnavailable",
    "Reload",
    "Share",
    "SidecarConfig",
    "WrittenSidecar",
    "WrittenVerified",
    "engine_of",
    "engine_problems",
    "engine_warnings",
]
