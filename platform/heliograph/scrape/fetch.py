"""One page, within bounds: its size, its time, where it may be, and whom it is asked as."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from collectors.prometheus.page import ACCEPT, PageLimits
from heliograph.scrape.addresses import ForbiddenAddressError, Policy, UnknownHostError, resolve
from heliograph.scrape.credentials import CredentialError, Credentials

MAX_PAGE_BYTES = PageLimits().max_bytes
NOBODY = Credentials()


class ScrapeError(Exception):
    """A scrape that failed, in words for the settings page: nothing of what the target answered is in them."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page as it came."""

    body: bytes
    content_type: str


def client(tls: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """Return a client that goes where it is sent: no redirects, no proxy of the environment, no connection kept."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    verify = True if tls is None else tls
    return httpx.AsyncClient(verify=verify, follow_redirects=False, trust_env=False, limits=limits, timeout=None)  # noqa: S113  # each fetch has a bound as a whole


async def fetch(
    http: httpx.AsyncClient,
    url: str,
    timeout_s: float,
    policy: Policy,
    take: Callable[[int], None] = lambda size: None,
    credentials: Credentials = NOBODY,
) -> Fetched:
    """Return the page at an address. `take` is told of each piece's size and may raise to stop.

    Raises ScrapeError.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _fetch(http, url, policy, take, credentials)
    except TimeoutError as error:
        raise ScrapeError(f"No whole answer came within {timeout_s:g} s.") from error
    except (UnknownHostError, ForbiddenAddressError, CredentialError) as error:
        raise ScrapeError(str(error)) from error
    except httpx.ConnectError as error:
        raise ScrapeError("Nothing answers at this address and port, or it speaks no TLS that is trusted.") from error
    except ssl.SSLError as error:
        # In TLS 1.3 a refusal of one's certificate comes with the first answer, and httpx hands it through as it is.
        reason = getattr(error, "reason", None) or "no reason given"  # one that Python code raises has none
        raise ScrapeError(f"The target's TLS refuses this connection ({reason}).") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ScrapeError(f"The answer is no HTTP that can be read ({type(error).__name__}).") from error


async def _fetch(
    http: httpx.AsyncClient, url: str, policy: Policy, take: Callable[[int], None], credentials: Credentials
) -> Fetched:
    asked = httpx.URL(url)
    port = asked.port or (443 if asked.scheme == "https" else 80)
    ip = await resolve(asked.host, port, policy)
    # The judged address is connected to; name and certificate stay those of the host.
    request = http.build_request(
        "GET",
        asked.copy_with(host=str(ip), port=port),
        headers={"host": asked.netloc.decode("ascii"), "accept": ACCEPT, "accept-encoding": "identity"},
        extensions={"sni_hostname": credentials.get("server_name") or asked.host},
    )
    if not credentials.references:
        return await _answer(http, request, take)
    headers, tls = await asyncio.to_thread(lambda: (credentials.headers(), credentials.context()))
    request.headers.update(headers)
    if tls is None:
        return await _answer(http, request, take)
    async with client(tls) as own:
        return await _answer(own, request, take)


async def _answer(http: httpx.AsyncClient, request: httpx.Request, take: Callable[[int], None]) -> Fetched:
    response = await http.send(request, stream=True)
    try:
        _check(response)
        body = bytearray()
        async for piece in response.aiter_raw():
            take(len(piece))
            body += piece
            if len(body) > MAX_PAGE_BYTES:
                raise ScrapeError(f"The page has more than {MAX_PAGE_BYTES // 2**20} MiB.")
        return Fetched(bytes(body), response.headers.get("content-type", ""))
    finally:
        await response.aclose()


def _check(response: httpx.Response) -> None:
    status = response.status_code
    if response.is_redirect:
        raise ScrapeError(f"It redirects (status {status}), which is not followed: give the final address.")
    if status in (401, 403):
        told = "wants other credentials; a target's stand in the watch file (docs/serving.md)"
        raise ScrapeError(f"It answered with status {status}: it {told}.")
    if status != 200:
        raise ScrapeError(f"It answered with status {status} instead of 200.")
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise ScrapeError("The page came compressed, though it was asked for as it is.")
