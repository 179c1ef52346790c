"""One page, within bounds: its size, its time, and where it may be."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from collectors.prometheus.page import ACCEPT, PageLimits
from heliograph.scrape.addresses import ForbiddenAddressError, Policy, UnknownHostError, resolve

MAX_PAGE_BYTES = PageLimits().max_bytes


class ScrapeError(Exception):
    """A scrape that failed, in words for the settings page: nothing of what the target answered is in them."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page as it came."""

    body: bytes
    content_type: str


def client() -> httpx.AsyncClient:
    """Return a client that goes where it is sent: no redirects, no proxy of the environment, no connection kept."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(follow_redirects=False, trust_env=False, limits=limits, timeout=None)  # noqa: S113  # each fetch has a bound as a whole


async def fetch(
    http: httpx.AsyncClient, url: str, timeout_s: float, policy: Policy, take: Callable[[int], None] = lambda size: None
) -> Fetched:
    """Return the page at an address. `take` is told of each piece's size and may raise to stop.

    Raises ScrapeError.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _fetch(http, url, policy, take)
    except TimeoutError as error:
        raise ScrapeError(f"No whole answer came within {timeout_s:g} s.") from error
    except (UnknownHostError, ForbiddenAddressError) as error:
        raise ScrapeError(str(error)) from error
    except httpx.ConnectError as error:
        raise ScrapeError("Nothing answers at this address and port, or it speaks no TLS as asked.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ScrapeError(f"The answer is no HTTP that can be read ({type(error).__name__}).") from error


async def _fetch(http: httpx.AsyncClient, url: str, policy: Policy, take: Callable[[int], None]) -> Fetched:
    asked = httpx.URL(url)
    port = asked.port or (443 if asked.scheme == "https" else 80)
    ip = await resolve(asked.host, port, policy)
    # The judged address is connected to; name and certificate stay those of the host.
    request = http.build_request(
        "GET",
        asked.copy_with(host=str(ip), port=port),
        headers={"host": asked.netloc.decode("ascii"), "accept": ACCEPT, "accept-encoding": "identity"},
        extensions={"sni_hostname": asked.host},
    )
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
    if status != 200:
        raise ScrapeError(f"It answered with status {status} instead of 200.")
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise ScrapeError("The page came compressed, though it was asked for as it is.")
