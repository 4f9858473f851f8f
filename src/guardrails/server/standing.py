"""What the server stands on, looked at before it listens: keys, people, and how it is reached."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from cryptography import x509

from guardrails.approvals.signing import ApproverKey, Voucher
from guardrails.errors import ConfigError
from guardrails.server.callers import Callers
from guardrails.webhooks.endpoint import is_loopback

if TYPE_CHECKING:
    from datetime import datetime

    from guardrails.config.approvers import ApproversFile
    from guardrails.config.server import ServerConfig


def trusted(file: ApproversFile | None, config: ServerConfig) -> tuple[Voucher, Callers]:
    """How the server signs, and whom it knows.

    Args:
        file: Who may answer; None where the configuration names no such file.
        config: What the server is made of.

    Raises:
        ConfigError: it may not sign, or could know nobody.
    """
    if file is None:
        raise ConfigError("`server` needs `approvers`: the file of who may answer")
    approvers = file.current()
    key = ApproverKey.load(config.key_file)
    known = approvers.servers.get(config.name)
    if known is None or known.key != key.public:
        raise ConfigError(
            f"{file.path}: `servers` does not have the key `{config.key_file}` for "
            f"`{config.name}`; `guardrails approvals enroll-server` makes one and prints the entry"
        )
    if config.jwt is None and not any(each.tokens for each in approvers.people.values()):
        raise ConfigError(
            f"nobody could be known: {file.path} has no `tokens` (`guardrails approvals token` "
            "makes one), and `server.jwt` is not configured"
        )
    return Voucher(config.name, key), Callers(config, file)


def check_reach(config: ServerConfig) -> None:
    """Nothing, where tokens cross no network in clear.

    Raises:
        ConfigError: they would.
    """
    if config.certificate is None and not is_loopback(config.host):
        raise ConfigError(
            f"`{config.host}` is not a loopback address: tokens would cross the network in clear. "
            "Give `server.certificate`, or listen on 127.0.0.1 behind a proxy that does TLS"
        )


def certificate_ends(config: ServerConfig) -> datetime | None:
    """When the server's certificate ends to hold; None where it has none.

    Raises:
        ConfigError: it cannot be used.
    """
    if config.certificate is None:
        return None
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # A key that wants a password would ask for it at the terminal.
        context.load_cert_chain(config.certificate, config.certificate_key, lambda: b"")
        return x509.load_pem_x509_certificate(config.certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:  # ssl's errors are of the former kind
        raise ConfigError(
            f"`{config.certificate}`: the certificate cannot be used: {error}"
        ) from error
