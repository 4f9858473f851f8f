"""Administers an OPA server through opa-python-client: policies, data, health, version.

That client is for operators and set-ups, not for calls. It is held to this package's rules here:
numbers stay exact, no proxy and no credentials of the environment are used, nothing is repeated
or redirected, no policy is rewritten on its way, and what fails is an error of this package.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import requests
import urllib3
from opa_client import errors as opa_errors
from opa_client.opa import OpaClient
from requests.adapters import HTTPAdapter

from guardrails.errors import ConfigError, PolicyLoadError, PolicyUnavailable
from guardrails.opa.address import Address
from guardrails.opa.exact_json import NotExactJSONError, encode
from guardrails.opa.token import TokenNotThereError
from guardrails.opa.version import objection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeVar

    from guardrails.opa.tls import TLS
    from guardrails.opa.token import Token

    T = TypeVar("T")

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_.@:+-]+", re.ASCII)
_INTERVAL: Final = 0.1
"""Seconds between two looks at the server's health."""


class Administration:
    """What an operator does with an OPA server. Close it, or use it as a context.

    Args:
        address: ``http://host:port``, ``https://host:port`` or ``unix:///path``.
        token: An administration token, where the server wants one.
        tls: For ``https://``: whom to trust and the client's certificate.
        timeout: Seconds that one request may take to connect, and again to be answered.

    Raises:
        ConfigError: these do not go together.
    """

    def __init__(
        self,
        address: str | Address,
        *,
        token: Token | None = None,
        tls: TLS | None = None,
        timeout: float = 5.0,
    ) -> None:
        place = Address.parse(address) if isinstance(address, str) else address
        if token is not None and not (place.is_secure or place.is_local):
            msg = f"a token would go to `{place}` in the clear; use `https://` or a Unix socket"
            raise ConfigError(msg)
        self.address = place
        self._client = _Client(place, token, tls, timeout)

    def put_policy(self, policy_id: str, text: str) -> None:
        """Put a Rego module on the server, in the place of one with that id.

        Raises:
            PolicyLoadError: the server does not take it; or the id is none.
            PolicyUnavailable: the server is out of reach, or the token is not accepted.
        """
        path = _path(policy_id, "policy's id")
        self._do(lambda: self._client.update_policy_from_string(text, path, rego_compat=False))

    def delete_policy(self, policy_id: str) -> None:
        """Take a module off the server.

        Raises:
            PolicyLoadError: there is none with that id.
            PolicyUnavailable: the server is out of reach, or the token is not accepted.
        """
        path = _path(policy_id, "policy's id")
        self._do(lambda: self._client.delete_policy(path))

    def policies(self) -> Sequence[str]:
        """The ids of the modules on the server, sorted: OPA gives them in any order.

        Raises:
            PolicyUnavailable: the server is out of reach, or the token is not accepted.
        """
        return tuple(sorted(map(str, self._do(self._client.get_policies_list))))

    def put_data(self, path: str, document: Mapping[str, Any]) -> None:
        """Put a document at ``data.<path>``, in the place of what is there; numbers stay exact.

        Args:
            path: Names with slashes between, as ``guardrails_data/thresholds``.
            document: Exact JSON.

        Raises:
            PolicyLoadError: the server does not take it; or it is no exact JSON.
            PolicyUnavailable: the server is out of reach, or the token is not accepted.
        """
        place = _path(path, "path")
        self._do(lambda: self._client.update_or_create_data(dict(document), place))

    def is_healthy(self, *, bundles: bool = False, plugins: bool = False) -> bool:
        """Whether the server answers and finds itself healthy.

        Args:
            bundles: Also ask whether all its bundles are active.
            plugins: Also ask whether all its plugins are well.
        """
        return bool(self._do(lambda: self._client.check_health(query=_query(bundles, plugins))))

    def wait_until_ready(
        self, seconds: float = 10.0, *, bundles: bool = True, plugins: bool = False
    ) -> None:
        """Return once the server is healthy.

        Args:
            seconds: How long to wait for it.
            bundles: Wait for its bundles, too.
            plugins: Wait for its plugins, too.

        Raises:
            PolicyUnavailable: it is not, after that time.
        """
        query = _query(bundles, plugins)
        self._do(lambda: self._client.wait_for_ready(seconds, _INTERVAL, query))

    def version(self) -> str:
        """OPA's version.

        Raises:
            PolicyUnavailable: the server is out of reach, the token is not accepted, or this OPA
                is too old to decide.
        """
        config = self._do(self._client.get_config)
        try:
            version = str(config["result"]["labels"]["version"])
        except (KeyError, TypeError):
            version = ""
        why = objection(version)
        if why is not None:
            raise PolicyUnavailable(f"OPA at {self.address}: {why}")
        return version

    def close(self) -> None:
        """Close the connections."""
        self._client.close_connection()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Administration({self.address})"

    def _do(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except (TokenNotThereError, opa_errors.ConnectionsError) as error:
            raise self._unavailable(getattr(error, "message", str(error))) from None
        except NotExactJSONError as error:
            raise PolicyLoadError(f"the data cannot be sent: {error}") from None
        except opa_errors.RegoParseError as error:
            raise _refused(error) from None
        except (opa_errors.DeletePolicyError, opa_errors.PolicyNotFoundError) as error:
            raise PolicyLoadError(_said(error)) from None
        except opa_errors.TypeException as error:
            raise PolicyLoadError(_said(error)) from None
        except requests.HTTPError as error:
            status = "an error" if error.response is None else error.response.status_code
            raise self._unavailable(f"the server answers {status}") from None
        except (requests.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
            # The client reads what comes as if it were OPA's.
            raise self._unavailable("what came is no answer of an OPA") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # Their texts hold addresses and headers; the name says what happened.
            raise self._unavailable(type(error).__name__) from None

    def _unavailable(self, why: str) -> PolicyUnavailable:
        return PolicyUnavailable(f"OPA at {self.address} cannot be administered: {why}")


class _Client(OpaClient):  # type: ignore[misc]  # it has no types
    """The client with a session of ours."""

    def __init__(
        self, address: Address, token: Token | None, tls: TLS | None, timeout: float
    ) -> None:
        self._parts = (address, token, tls)
        super().__init__(
            host=f"[{address.host}]" if ":" in address.host else address.host,
            port=address.port or 80,
            ssl=address.is_secure,
            retries=0,
            timeout=timeout,
        )

    def _init_session(self) -> requests.Session:
        return _Session(*self._parts)


class _Session(requests.Session):
    """Exact numbers, a token looked up anew, nothing from the environment, no redirects."""

    def __init__(self, address: Address, token: Token | None, tls: TLS | None) -> None:
        super().__init__()
        self._token = token
        self.trust_env = False
        self.max_redirects = 0
        if tls is not None:
            self.verify = tls.ca_file or True
            if tls.certificate is not None:
                self.cert = (tls.certificate, tls.key) if tls.key else tls.certificate
        if address.path is not None:
            self.mount("http://", _SocketAdapter(address.path))

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]  # the client names all but these two
        body = options.pop("json", None)
        headers = dict(options.pop("headers", None) or {})
        if body is not None:
            options["data"] = encode(body)
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.current()}"
        # The client lists policies at `/v1/policies/`, which OPA answers with a redirect.
        response = super().request(method, url.rstrip("/"), headers=headers, **options)
        if response.status_code in {401, 403}:
            raise TokenNotThereError(f"the server answers {response.status_code}: not authorized")
        return response


class _SocketAdapter(HTTPAdapter):
    """Sends every request to one Unix socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        super().__init__()

    def get_connection_with_tls_context(
        self, *_: Any, **__: Any
    ) -> urllib3.connectionpool.HTTPConnectionPool:
        return _SocketPool(self._path)

    def __reduce__(self) -> str:
        msg = "an adapter is not pickled"
        raise TypeError(msg)


class _SocketPool(urllib3.connectionpool.HTTPConnectionPool):
    """Its connections are to one Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def _new_conn(self) -> _SocketConnection:
        return _SocketConnection(self._path, timeout=self.timeout.connect_timeout)


class _SocketConnection(urllib3.connection.HTTPConnection):
    """To a Unix socket."""

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__("localhost", **options)
        self._path = path

    def _new_conn(self) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.settimeout(self.timeout if isinstance(self.timeout, int | float) else None)
            opened.connect(self._path)
        except OSError as error:
            opened.close()
            raise urllib3.exceptions.NewConnectionError(self, str(error)) from error
        return opened


def _query(bundles: bool, plugins: bool) -> dict[str, str]:  # noqa: FBT001  # named where it is called for users
    asked = {"bundles": bundles, "plugins": plugins}
    return {name: "true" for name, wanted in asked.items() if wanted}


def _path(text: str, what: str) -> str:
    parts = text.split("/")
    if not all(_SEGMENT.fullmatch(part) and part not in {".", ".."} for part in parts):
        msg = f"`{text}` is no {what}: names of letters, digits and `_.@:+-`, slashes between"
        raise PolicyLoadError(msg)
    return "/".join(quote(part, safe="") for part in parts)


def _refused(error: opa_errors.RegoParseError) -> PolicyLoadError:
    details = getattr(error, "errors", None)
    first = details[0] if isinstance(details, list) and details else None
    if not isinstance(first, dict):
        return PolicyLoadError(_said(error))
    location = first.get("location")
    where: dict[str, Any] = location if isinstance(location, dict) else {}
    row, col = where.get("row"), where.get("col")
    return PolicyLoadError(
        f"{first.get('code')}: {first.get('message')}",
        file=str(where["file"]) if where.get("file") else None,
        row=row if isinstance(row, int) else None,
        col=col if isinstance(col, int) else None,
    )


def _said(error: Exception) -> str:
    said = [getattr(error, "expression", None), getattr(error, "message", None)]
    return ": ".join(str(part) for part in said if part) or str(error)
