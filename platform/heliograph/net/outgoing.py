"""One request out, within bounds.

    OutgoingError
    |- InvalidAddressError        no http(s) address, or one that may not be sent to: trying again does not help
    `- UnreachableError           no whole answer: another try may have one
       `- TooSlowError            the time of the whole request was over

The texts of the errors are for people, and hold nothing of what was sent or answered.
"""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import httpcore
import httpx
from django.conf import settings

from heliograph.net.addresses import ForbiddenAddressError, Policy
from heliograph.net.backend import Deadline, GuardedBackend

# A model's long answer as JSON takes some 100 KB; who needs more asks for it.
MAX_ANSWER_BYTES = 2**20
MAX_REQUEST_BYTES = 8 * 2**20
MAX_URL_CHARACTERS = 2_000


class OutgoingError(Exception):
    """A request that had no answer; the text says why."""


class InvalidAddressError(OutgoingError):
    """An address that nothing is sent to."""


class UnreachableError(OutgoingError):
    """Nothing answered as HTTP does."""


class TooSlowError(UnreachableError):
    """No whole answer came in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: any status, redirects too, which are not followed. `body` is cut at the bound."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_cut: bool
    seconds: float

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", errors="replace")


def policy() -> Policy:
    """Return what this installation allows beside public addresses."""
    return Policy.of(settings.OUTGOING_NETWORKS)


def check_address(url: str) -> httpx.URL:
    """Return the address if it is one that could be sent to, before anything is resolved.

    Raises InvalidAddressError.
    """
    if len(url) > MAX_URL_CHARACTERS:
        raise InvalidAddressError(f"The address has more than {MAX_URL_CHARACTERS} characters.")
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise InvalidAddressError(f"This is no address: {error}.") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise InvalidAddressError("The address has to begin with https:// (or http://) and name a host.")
    if parsed.userinfo:
        raise InvalidAddressError("A name or password in the address would be shown in lists: leave it out.")
    return parsed


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    seconds: float = 10.0,
    most_bytes: int = MAX_ANSWER_BYTES,
    allowed: Policy | None = None,
) -> Answer:
    """Send one request on a connection of its own, and return the answer whatever its status is.

    `seconds` bounds everything together: resolving, connecting, sending, answering. `allowed` is what the settings
    allow where it is not given. No proxy of the environment is used. Raises OutgoingError.
    """
    if len(body) > MAX_REQUEST_BYTES:
        raise InvalidAddressError(f"The request has more than {MAX_REQUEST_BYTES} bytes.")
    parsed = check_address(url)
    begun = time.monotonic()
    backend = GuardedBackend(policy() if allowed is None else allowed, Deadline(seconds))
    try:
        with httpcore.ConnectionPool(ssl_context=_tls(), max_connections=1, network_backend=backend) as pool:
            return _exchange(pool, _request(method, parsed, headers or {}, body), most_bytes, begun)
    except ForbiddenAddressError as error:
        raise InvalidAddressError(str(error)) from error
    except (httpcore.TimeoutException, TimeoutError) as error:
        raise TooSlowError(f"No whole answer came within {seconds:g} s.") from error
    except httpcore.ConnectError as error:
        raise UnreachableError(_why(error)) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise UnreachableError(f"The connection broke, or the answer is no HTTP ({type(error).__name__}).") from error


def _request(method: str, url: httpx.URL, headers: Mapping[str, str], body: bytes) -> httpcore.Request:
    own = {"host": url.netloc.decode("ascii"), "accept-encoding": "identity", "connection": "close"}
    if body or method not in {"GET", "HEAD"}:
        own["content-length"] = str(len(body))
    given = {name.lower(): value for name, value in headers.items()}
    target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    try:
        return httpcore.Request(method, target, headers=list((given | own).items()), content=body)
    except (UnicodeEncodeError, TypeError) as error:
        raise InvalidAddressError("A header holds what no header can hold.") from error


def _exchange(pool: httpcore.ConnectionPool, request: httpcore.Request, most_bytes: int, begun: float) -> Answer:
    response = pool.handle_request(request)
    found = bytearray()
    try:
        for piece in response.iter_stream():
            found += piece
            if len(found) > most_bytes:
                break
    finally:
        response.close()
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    body = bytes(found[:most_bytes])
    return Answer(response.status, headers, body, len(found) > most_bytes, time.monotonic() - begun)


def _why(error: httpcore.ConnectError) -> str:
    text = str(error)
    if text.startswith("The name "):
        return text
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason or 'the certificate is not accepted'}."
        cause = cause.__cause__ or cause.__context__
    return "Nothing answers at this address and port."


@cache
def _tls() -> ssl.SSLContext:
    # Reads SSL_CERT_FILE, so that a private authority can be trusted; made once, since it costs some 20 ms.
    return httpx.create_ssl_context()
