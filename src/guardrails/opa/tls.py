"""TLS to an OPA server: whom to trust, and with which certificate to appear.

The server's name is always verified, and nothing below TLS 1.2 is spoken.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from guardrails.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TLS:
    """Files, all PEM.

    Attributes:
        ca_file: The certificates to trust, and no others; None to trust the system's.
        certificate: The client's own certificate with its chain, for mTLS.
        key: Its private key, without a pass phrase; None if it stands in `certificate`.
    """

    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.key is not None and self.certificate is None:
            msg = "`key` is the key of a `certificate`, and there is none"
            raise ConfigError(msg)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are read."""
        return tuple(file for file in (self.ca_file, self.certificate, self.key) if file)


class Contexts:
    """Gives the SSL context for the next connection; a new one when a file has changed.

    Args:
        tls: What it is made of.

    Raises:
        ConfigError: a file cannot be used.
    """

    __slots__ = ("_kept", "_tls")

    def __init__(self, tls: TLS) -> None:
        self._tls = tls
        self._kept = (self._stamps(), _context(tls))

    def current(self) -> ssl.SSLContext:
        """The context.

        Raises:
            ConfigError: a file has changed and cannot be used.
        """
        # No lock, which a fork's child could find held: two threads may make the same one.
        stamps = self._stamps()
        kept = self._kept
        if kept[0] != stamps:
            kept = self._kept = (stamps, _context(self._tls))
        return kept[1]

    def _stamps(self) -> tuple[object, ...]:
        found: list[object] = []
        for file in self._tls.files:
            try:
                status = Path(file).stat()
            except OSError as error:
                raise ConfigError(f"`{file}` cannot be read: {error.strerror}") from None
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)


def _context(tls: TLS) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies the certificate and its name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if tls.ca_file is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            context.load_verify_locations(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"`{tls.ca_file}` holds no certificates to trust: {error}") from None
    if tls.certificate is not None:
        try:
            # With an empty pass phrase an encrypted key fails, where OpenSSL would ask a terminal.
            context.load_cert_chain(tls.certificate, tls.key, password="")
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"`{tls.certificate}` and its key cannot be used: {error}") from None
    return context
