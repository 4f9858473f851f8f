"""One bundle asked of where it comes from: the request, the answer, and what is made of it."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote, urlsplit

from guardrails.errors import ConfigError, PolicyLoadError
from guardrails.opa.bundles.schedule import Polling
from guardrails.opa.services import Answer
from guardrails.opa.signatures import verify
from guardrails.rego.archive import (
    DEFAULT_LIMITS,
    ArchiveLimits,
    read_archive,
    read_bytes,
    read_directory,
)
from guardrails.rego.bundle import Bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.opa.keys import Verification
    from guardrails.opa.services import Service
    from guardrails.opa.signatures import Signature

LONG_POLL_TYPE: Final = "application/vnd.openpolicyagent.bundles"
"""What a service that can wait for news calls its answers."""

_FILE: Final = "file://"
_ETAG_LIMIT: Final = 1_024


@dataclass(frozen=True, slots=True)
class BundleSettings:
    """One bundle as OPA's configuration describes it.

    Attributes:
        name: Its name.
        service: Where it comes from; None where `resource` is a file.
        resource: Its path below the service's URL, or a ``file://`` URL; empty for
            ``bundles/<name>``.
        polling: How often it is asked for.
        persist: Keep the last good one on disk.
        verification: The keys that it must be signed with; None for one that is not signed.
        limits: How much it may hold.

    Raises:
        ConfigError: There is neither a service nor a file.
    """

    name: str
    service: Service | None = None
    resource: str = ""
    polling: Polling = field(default_factory=Polling)
    persist: bool = False
    verification: Verification | None = None
    limits: ArchiveLimits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        if self.file is None and self.service is None:
            msg = f"the bundle `{self.name}` names no service"
            raise ConfigError(msg)

    @property
    def path(self) -> str:
        """The path below the service's URL."""
        return self.resource or f"bundles/{self.name}"

    @property
    def file(self) -> Path | None:
        """The file that it is read from, where it is no service's."""
        if not self.resource.startswith(_FILE):
            return None
        return Path(unquote(urlsplit(self.resource).path))


class Client(Protocol):
    """Gives a bundle, or says that it has not changed."""

    def get(
        self, resource: str, headers: Mapping[str, str], *, limit: int, wait: float = 0.0
    ) -> Answer:
        """The answer; see :meth:`guardrails.opa.services.ServiceClient.get`."""
        ...

    def close(self) -> None:
        """Let go of what is held for the next request."""
        ...


@dataclass(frozen=True, slots=True)
class FileClient:
    """Gives what is in a file or a directory, as a service would."""

    file: Path
    limits: ArchiveLimits

    def get(
        self,
        resource: str,  # noqa: ARG002  # as every client is asked
        headers: Mapping[str, str],
        *,
        limit: int,  # noqa: ARG002  # as above
        wait: float = 0.0,  # noqa: ARG002  # as above
    ) -> Answer:
        """The file's content, or a directory's as an archive; 304 where it is what was named.

        Raises:
            PolicyLoadError: It cannot be read.
        """
        if self.file.is_dir():
            content = _packed(read_directory(self.file, self.limits))
        else:
            content = read_bytes(self.file, self.limits)
        etag = hashlib.sha256(content).hexdigest()
        if headers.get("If-None-Match") == etag:
            return Answer(304, etag, "", b"")
        return Answer(200, etag, "", content)

    def close(self) -> None:
        """Nothing is held."""


def _packed(files: Mapping[str, bytes]) -> bytes:
    """An archive of `files`; the same files are the same bytes."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(tar.getvalue(), mtime=0)


@dataclass(frozen=True, slots=True, repr=False)
class Download:
    """A bundle that was read and verified.

    Attributes:
        bundle: It.
        content: The archive; empty where it is not to be kept.
        etag: The tag that the service gave; empty for none.
        digest: The SHA-256 of the archive.
        signature: The signature that it has; None for none.
    """

    bundle: Bundle
    content: bytes
    etag: str
    digest: str
    signature: Signature | None


def opened(content: bytes, settings: BundleSettings, etag: str = "") -> Download:
    """The bundle in an archive, wherever that came from.

    Raises:
        PolicyLoadError: It is refused.
    """
    name = settings.name
    files = read_archive(content, name, settings.limits)
    signature = verify(files, settings.verification, name)
    bundle = Bundle.of(files, name)
    return Download(
        bundle,
        content if settings.persist else b"",
        etag,
        hashlib.sha256(content).hexdigest(),
        signature,
    )


class Downloader:
    """Asks for one bundle. One thread uses it at a time.

    Args:
        settings: Which bundle, and where.
        client: Whom to ask.

    Attributes:
        etag: The tag of what was last activated; what failed since is asked for again.
        is_long_polling: Whether the next request asks the service to wait for news.
    """

    def __init__(self, settings: BundleSettings, client: Client) -> None:
        self.settings = settings
        self.etag = ""
        self.is_long_polling = settings.polling.long_poll is not None
        self._client = client

    @property
    def takes_deltas(self) -> bool:
        """Whether changes of the data alone are asked for.

        They are never signed, so a bundle that must be signed takes none; and they are never
        kept, so one that is kept takes none: a start would go back to before them.
        """
        return self.settings.verification is None and not self.settings.persist

    def fetch(self, *, deltas: bool) -> Download | None:
        """What the service has; None where that is what is active.

        Args:
            deltas: Whether there is something active that could be changed.

        Raises:
            PolicyLoadError: There is no answer, or it is no sound bundle.
        """
        settings = self.settings
        deltas = deltas and self.takes_deltas
        prefer = "modes=snapshot,delta" if deltas else "modes=snapshot"
        wait = 0.0
        if self.is_long_polling and settings.polling.long_poll is not None:
            prefer += f";wait={settings.polling.long_poll}"
            wait = float(settings.polling.long_poll)
        headers = {"Prefer": prefer, **({"If-None-Match": self.etag} if self.etag else {})}
        answer = self._client.get(settings.path, headers, limit=settings.limits.archive, wait=wait)
        if answer.status == 304:  # noqa: PLR2004  # Not Modified
            if not self.etag:
                msg = "the service says that nothing changed, and nothing was there"
                raise PolicyLoadError(msg, file=settings.name)
            return None
        self.is_long_polling = (
            settings.polling.long_poll is not None and answer.content_type == LONG_POLL_TYPE
        )
        etag = answer.etag if len(answer.etag) <= _ETAG_LIMIT and answer.etag.isprintable() else ""
        download = opened(answer.content, settings, etag)
        if download.bundle.is_delta and not deltas:
            msg = "changes came, and a whole bundle was asked for"
            raise PolicyLoadError(msg, file=settings.name)
        return download

    def close(self) -> None:
        """Let go of connections; a request in flight ends by itself."""
        self._client.close()


__all__ = [
    "LONG_POLL_TYPE",
    "BundleSettings",
    "Client",
    "Download",
    "Downloader",
    "FileClient",
    "opened",
]
