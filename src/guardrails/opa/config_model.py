"""The parts of OPA's configuration that mean something here, as they are written.

Other keys are kept aside and told of: OPA has options for its own server, and plugins may have
theirs.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """The base of all sections: frozen, exact types; null means that a key is not there."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class BearerSection(Section):
    """``credentials.bearer``."""

    token: str | None = None
    token_path: str | None = None
    scheme: str | None = None


class ClientTlsSection(Section):
    """``credentials.client_tls``."""

    cert: str
    private_key: str
    private_key_passphrase: str | None = None
    ca_cert: str | None = None
    system_ca_required: bool | None = None


class CredentialsSection(Section):
    """``credentials``."""

    bearer: BearerSection | None = None
    client_tls: ClientTlsSection | None = None


class TlsSection(Section):
    """``tls``."""

    ca_cert: str | None = None
    system_ca_required: bool | None = None


class ServiceSection(Section):
    """One of ``services``."""

    name: str | None = None
    url: str
    headers: dict[str, str] | None = None
    credentials: CredentialsSection | None = None
    tls: TlsSection | None = None
    allow_insecure_tls: bool | None = None
    response_header_timeout_seconds: Annotated[int, Field(ge=0)] | None = None
    type: str | None = None


class PollingSection(Section):
    """``polling``."""

    min_delay_seconds: Annotated[int, Field(ge=1)] | None = None
    max_delay_seconds: Annotated[int, Field(ge=1)] | None = None
    long_polling_timeout_seconds: Annotated[int, Field(ge=1)] | None = None


class SigningSection(Section):
    """``signing``."""

    keyid: str | None = None
    scope: str | None = None
    exclude_files: list[str] | None = None


class BundleSection(Section):
    """One of ``bundles``."""

    service: str | None = None
    resource: str | None = None
    polling: PollingSection | None = None
    persist: bool | None = None
    signing: SigningSection | None = None
    size_limit_bytes: int | None = None
    trigger: str | None = None


class KeySection(Section):
    """One of ``keys``."""

    key: str | None = None
    private_key: str | None = None
    algorithm: str | None = None
    scope: str | None = None


class ReportingSection(Section):
    """``decision_logs.reporting``."""

    min_delay_seconds: Annotated[int, Field(ge=1)] | None = None
    max_delay_seconds: Annotated[int, Field(ge=1)] | None = None
    upload_size_limit_bytes: Annotated[int, Field(ge=1024)] | None = None
    trigger: str | None = None


class DecisionLogsSection(Section):
    """``decision_logs``."""

    service: str | None = None
    resource: str | None = None
    partition_name: str | None = None
    console: bool | None = None
    mask_decision: str | None = None
    reporting: ReportingSection | None = None


class StatusSection(Section):
    """``status``."""

    service: str | None = None
    partition_name: str | None = None
    console: bool | None = None
    trigger: str | None = None
