"""OPA's own configuration file, for those of its parts that mean the same here as in OPA.

``services``, ``labels``, ``bundles``, ``keys``, ``decision_logs``, ``status`` and
``persistence_directory``, with ``${NAME}`` replaced as OPA replaces it. What else stands in the
file is told of, each with its line; it is no error, since the same file configures OPA. What is
wrong is one, and so is what would make policies come from a place that was not meant, or
decisions go to one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from guardrails.errors import ConfigError
from guardrails.opa.bundles.download import BundleSettings
from guardrails.opa.bundles.persistence import DEFAULT_DIRECTORY
from guardrails.opa.bundles.schedule import Polling
from guardrails.opa.config_model import (
    BundleSection,
    DecisionLogsSection,
    KeySection,
    PollingSection,
    ReportingSection,
    Section,
    ServiceSection,
    StatusSection,
)
from guardrails.opa.config_reader import Written
from guardrails.opa.keys import Verification, VerificationKey
from guardrails.opa.logs.packing import SIZE
from guardrails.opa.logs.settings import REPORTING, LogSettings, StatusSettings
from guardrails.opa.services import ClientCertificate, Service
from guardrails.register.source import SourceError, quoted, shown
from guardrails.rego.archive import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.register.source import KeyPath, Problem
    from guardrails.rego.archive import ArchiveLimits

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class OpaConfig:
    """What a configuration file of OPA's says.

    Attributes:
        file: The file, as errors show it.
        labels: The labels of this process, in what is sent.
        services: The services by name.
        bundles: The bundles, in the order of the file.
        keys: The keys that bundles may be signed with, by their ids.
        persistence_directory: Where bundles are kept.
        findings: What is written and not used or not supported, each with its place; to be said
            at start.
        elsewhere: What says that policies come from where nothing is read here.
        without_bundles: Said of the file where it names no bundles; None where it does.
        decision_logs: Where decisions are sent; None for nowhere.
        status: Where it is told how bundles are; None for nowhere.
    """

    file: str
    labels: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)
    bundles: tuple[BundleSettings, ...] = ()
    keys: Mapping[str, VerificationKey] = field(default_factory=dict)
    persistence_directory: Path = DEFAULT_DIRECTORY
    findings: tuple[Problem, ...] = ()
    elsewhere: tuple[Problem, ...] = ()
    without_bundles: Problem | None = None
    decision_logs: LogSettings | None = None
    status: StatusSettings | None = None

    @classmethod
    def load(cls, path: str | Path, environment: Mapping[str, str] | None = None) -> OpaConfig:
        """The configuration in the file at `path`, YAML or JSON.

        Args:
            path: The file. Paths in it are relative to the working directory, as for OPA.
            environment: The variables for ``${NAME}``; None for the process's.

        Raises:
            ConfigError: It cannot be read.
            SourceError: Something in it is wrong; every problem has its place.
        """
        return _Reading(Written.read(path, environment)).config()


class _Reading:
    """The sections of one file as they are read; problems and findings are gathered."""

    def __init__(self, written: Written) -> None:
        self._written = written
        self._problems: list[Problem] = []
        self._findings: list[Problem] = []
        self._sections: dict[KeyPath, Section] = {}
        self._service_paths: dict[str, KeyPath] = {}

    def config(self) -> OpaConfig:
        written = self._written
        labels = self._labels()
        keys = self._keys()
        services = self._services()
        bundles = self._bundles(services, keys)
        logs = self._decision_logs(services)
        status = self._status(services)
        if labels and logs is None and status is None:
            self._finding(("labels",), "is not used: nothing is sent from here that has labels")
        directory = written.source.value.get("persistence_directory")
        if directory is not None and not isinstance(directory, str):
            self._problem(("persistence_directory",), f"is no text but {shown(directory)}")
            directory = None
        self._problems += written.misspelt(self._sections)
        if self._problems:
            raise SourceError(self._problems)
        found = (*written.findings(self._sections), *self._findings)
        return OpaConfig(
            written.source.file,
            labels,
            services,
            bundles,
            keys,
            Path(directory or DEFAULT_DIRECTORY).absolute(),
            tuple(sorted(found, key=lambda each: (each.line, each.col))),
            tuple(written.elsewhere()),
            None if bundles else written.problem(("bundles",), "there are none", of_key=True),
            logs,
            status,
        )

    def _problem(self, path: KeyPath, message: str) -> None:
        self._problems.append(self._written.problem(path, message))

    def _finding(self, path: KeyPath, message: str) -> None:
        self._findings.append(self._written.problem(path, message, of_key=True))

    def _mapping(self, key: str) -> dict[str, Any]:
        try:
            return self._written.mapping(key)
        except SourceError as error:
            self._problems += error.problems
            return {}

    def _section(self, path: KeyPath, model: type[Any]) -> Any:
        try:
            found = self._written.section(path, model)
        except SourceError as error:
            self._problems += error.problems
            return None
        self._sections[path] = found
        return found

    def _labels(self) -> dict[str, str]:
        labels = self._mapping("labels")
        for name, value in labels.items():
            if not isinstance(value, str):
                self._problem(("labels", name), f"is no text but {shown(value)}")
        return labels

    def _keys(self) -> dict[str, VerificationKey]:
        found: dict[str, VerificationKey] = {}
        for name in self._mapping("keys"):
            section: KeySection | None = self._section(("keys", name), KeySection)
            if section is None:
                continue
            if section.key:
                made = VerificationKey(
                    section.key, section.algorithm or "RS256", section.scope or ""
                )
                try:
                    made.usable(name)
                except ConfigError as error:
                    self._problem(("keys", name), str(error))
                found[name] = made
            elif not section.private_key:
                self._problem(("keys", name), "has neither `key` nor `private_key`")
        return found

    def _services(self) -> dict[str, Service]:
        written = self._written.source.value.get("services")
        if isinstance(written, list):
            places: list[KeyPath] = [("services", at) for at in range(len(written))]
        else:
            places = [("services", name) for name in self._mapping("services")]
        found: dict[str, Service] = {}
        for path in places:
            section: ServiceSection | None = self._section(path, ServiceSection)
            if section is None:
                continue
            name = section.name if isinstance(path[1], int) else path[1]
            if not name or name in found:
                self._problem(path, "needs a `name` of its own")
                continue
            self._service_paths[name] = path
            try:
                found[name] = _service(name, section)
            except ConfigError as error:
                self._problem(path, str(error))
                continue
            self._check_service(path, section, found[name])
        return found

    def _check_service(self, path: KeyPath, section: ServiceSection, service: Service) -> None:
        parts = urlsplit(service.url)
        in_the_clear = parts.scheme == "http" and parts.hostname not in _LOOPBACK
        if in_the_clear and service.is_trusted_with_secrets:
            self._finding((*path, "url"), "is `http`: the credentials travel in the clear")
        if section.allow_insecure_tls:
            self._finding(
                (*path, "allow_insecure_tls"),
                "is not supported: certificates are always checked; see `tls.ca_cert`",
            )

    def _bundles(
        self, services: Mapping[str, Service], keys: Mapping[str, VerificationKey]
    ) -> tuple[BundleSettings, ...]:
        found: list[BundleSettings] = []
        for name, value in self._mapping("bundles").items():
            path: KeyPath = ("bundles", name)
            section: BundleSection | None = (
                None if value is None else self._section(path, BundleSection)
            )
            if section is None:
                continue
            if section.trigger not in (None, "periodic"):
                self._finding((*path, "trigger"), "is not supported: bundles are polled")
            try:
                found.append(self._bundle(path, name, section, services, keys))
            except _WrongError as wrong:
                self._problem(wrong.path, str(wrong))
            except ConfigError as error:
                self._problem(path, str(error))
        return tuple(found)

    def _bundle(
        self,
        path: KeyPath,
        name: str,
        section: BundleSection,
        services: Mapping[str, Service],
        keys: Mapping[str, VerificationKey],
    ) -> BundleSettings:
        resource = section.resource or ""
        service = None
        if not resource.startswith("file://"):
            service = self._service_of(path, section, services)
        return BundleSettings(
            name,
            service,
            resource,
            _polling((*path, "polling"), section.polling, Polling()),
            bool(section.persist),
            _verification(path, section, keys),
            _limits(section),
        )

    def _decision_logs(self, services: Mapping[str, Service]) -> LogSettings | None:
        path: KeyPath = ("decision_logs",)
        section = self._sent(path, DecisionLogsSection)
        if section is None:
            return None
        reporting = section.reporting or ReportingSection()
        if reporting.trigger not in (None, "periodic"):
            self._finding((*path, "reporting", "trigger"), "is not supported: logs are sent")
        try:
            rule = (section.mask_decision or "/system/log/mask").strip("/")
            if not rule or "." in rule:
                message = "is a path with slashes, as `/system/log/mask`"
                raise _WrongError((*path, "mask_decision"), message)  # noqa: TRY301  # as below
            return LogSettings(
                self._receiver(path, section, services),
                section.resource or _partitioned("/logs", section.partition_name),
                _polling((*path, "reporting"), reporting, REPORTING),
                reporting.upload_size_limit_bytes or SIZE,
                rule,
                bool(section.console),
            )
        except _WrongError as wrong:
            self._problem(wrong.path, str(wrong))
        return None

    def _status(self, services: Mapping[str, Service]) -> StatusSettings | None:
        path: KeyPath = ("status",)
        section = self._sent(path, StatusSection)
        if section is None:
            return None
        try:
            return StatusSettings(
                self._receiver(path, section, services),
                _partitioned("/status", section.partition_name),
                bool(section.console),
            )
        except _WrongError as wrong:
            self._problem(wrong.path, str(wrong))
        return None

    def _sent(self, path: KeyPath, model: type[Any]) -> Any:
        """The section that says where something is sent; None where it is not there."""
        return (
            None if self._written.source.value.get(path[0]) is None else self._section(path, model)
        )

    def _receiver(
        self,
        path: KeyPath,
        section: DecisionLogsSection | StatusSection,
        services: Mapping[str, Service],
    ) -> Service | None:
        """The service that takes what is sent; None where it is logged here alone, as in OPA."""
        if section.service is None and (section.console or "plugin" in (section.model_extra or {})):
            return None
        service = self._service_of(path, section, services)
        parts = urlsplit(service.url)
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            self._finding(path, f"the service `{service.name}` is `http`: it travels in the clear")
        return service

    def _service_of(
        self,
        path: KeyPath,
        section: BundleSection | DecisionLogsSection | StatusSection,
        services: Mapping[str, Service],
    ) -> Service:
        known = list(self._service_paths)
        named = section.service or (known[0] if len(known) == 1 else "")
        place = (*path, "service")
        if not named:
            raise _WrongError(place, f"names no service; there are {quoted(known) or 'none'}")
        if named not in known:
            raise _WrongError(place, f"there is no service `{named}`; there are {quoted(known)}")
        if named not in services:
            raise _WrongError(place, f"the service `{named}` cannot be used")
        its = self._service_paths[named]
        written = self._sections[its]
        if isinstance(written, ServiceSection):
            _check_usable(its, written)
        return services[named]


class _WrongError(ConfigError):
    """Something is wrong at a place."""

    def __init__(self, path: KeyPath, message: str) -> None:
        super().__init__(message)
        self.path = path


def _check_usable(path: KeyPath, section: ServiceSection) -> None:
    """Refuses a service that is used and cannot be asked as it is meant to be."""
    credentials = section.credentials
    unknown = sorted((credentials.model_extra or {}) if credentials is not None else ())
    if unknown:
        what = f"`{unknown[0]}` is not supported; there are `bearer` and `client_tls`"
        raise _WrongError((*path, "credentials", unknown[0]), what)
    if credentials is not None and credentials.bearer and credentials.client_tls:
        raise _WrongError((*path, "credentials"), "holds several credentials; OPA takes one")
    if section.allow_insecure_tls:
        what = (
            "is refused where a service is used: whoever is on the way could give policies, and"
            " read decisions; name the CA in `tls.ca_cert`"
        )
        raise _WrongError((*path, "allow_insecure_tls"), what)
    if section.type not in (None, "", "rest"):
        what = f"the type {shown(section.type)} is not supported; services speak HTTP"
        raise _WrongError((*path, "type"), what)


def _service(name: str, section: ServiceSection) -> Service:
    credentials, tls = section.credentials, section.tls
    bearer = None if credentials is None else credentials.bearer
    shows = None if credentials is None else credentials.client_tls
    # What a client shows may name the CA, too; OPA calls that its older place.
    trust = tls if tls is not None and tls.ca_cert else shows or tls
    timeout = section.response_header_timeout_seconds
    return Service(
        name,
        section.url,
        dict(section.headers or {}),
        (bearer.token or "") if bearer else "",
        Path(bearer.token_path).absolute() if bearer and bearer.token_path else None,
        (bearer.scheme or "Bearer") if bearer else "Bearer",
        Path(trust.ca_cert).absolute() if trust and trust.ca_cert else None,
        bool(trust and trust.system_ca_required),
        None
        if shows is None
        else ClientCertificate(
            Path(shows.cert).absolute(),
            Path(shows.private_key).absolute(),
            shows.private_key_passphrase,
        ),
        float(timeout) if timeout else 10.0,
    )


def _polling(
    path: KeyPath, written: PollingSection | ReportingSection | None, usual: Polling
) -> Polling:
    if written is None:
        return usual
    least, most = written.min_delay_seconds, written.max_delay_seconds
    wait = written.long_polling_timeout_seconds if isinstance(written, PollingSection) else None
    if (least is None) != (most is None):
        missing = "min_delay_seconds" if least is None else "max_delay_seconds"
        raise _WrongError(path, f"`{missing}` is missing; give both or none")
    if least is None or most is None:
        return replace(usual, long_poll=wait)
    try:
        return Polling(float(least), float(most), wait)
    except ConfigError as error:
        raise _WrongError(path, str(error)) from None


def _partitioned(resource: str, partition: str | None) -> str:
    return f"{resource}/{partition}" if partition else resource


def _verification(
    path: KeyPath, section: BundleSection, keys: Mapping[str, VerificationKey]
) -> Verification | None:
    """How the bundle is verified; where there are keys, it must be signed with one of them."""
    signing = section.signing
    if signing is None:
        return Verification(keys) if keys else None
    try:
        return Verification(
            keys, signing.keyid or "", signing.scope or "", tuple(signing.exclude_files or ())
        )
    except ConfigError as error:
        raise _WrongError((*path, "signing"), str(error)) from None


def _limits(section: BundleSection) -> ArchiveLimits:
    size = section.size_limit_bytes
    if size is None or size <= 0:
        return DEFAULT_LIMITS
    usual = DEFAULT_LIMITS
    return replace(usual, file=size, total=max(usual.total, size), archive=max(usual.archive, size))


__all__ = ["OpaConfig"]
