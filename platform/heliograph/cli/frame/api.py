"""The public API over HTTP."""

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import click
import httpx

import heliograph
from heliograph.cli.frame.profile import Profile

# A question is stopped by the server after HELIOGRAPH_QUERY_TIMEOUT_SECONDS, 30 by default.
TIMEOUT_S = 60.0
# An export of some hours outlasts the restart of a server.
RETRIES = 5
LONGEST_WAIT_S = 30.0
_RETRIED = frozenset({429, 502, 503, 504})
# A page holds at most 1,000 rows of some kilobytes; a trace 10,000 spans.
MAX_ANSWER_BYTES = 256 * 2**20
PAGE = 500


class RefusedError(click.ClickException):
    """The server answered that it will not: a wrong key, a parameter, a thing that does not exist."""

    exit_code = 3

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class AwayError(click.ClickException):
    """The server could not be reached, or failed."""

    exit_code = 4


class Api:
    """A server and a project's key. Reads are tried again while the server is away; writes are not, but for 429."""

    def __init__(self, profile: Profile, transport: httpx.BaseTransport | None = None) -> None:
        self.profile = profile
        headers = {"user-agent": f"heliograph-cli/{heliograph.__version__}", "accept": "application/json"}
        if profile.key:
            headers["x-api-key"] = profile.key
        try:
            # Redirects are not followed: the key would go with them.
            self._http = httpx.Client(
                base_url=profile.url, headers=headers, timeout=TIMEOUT_S, transport=transport, follow_redirects=False
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise click.UsageError(f"{profile.url!r} cannot be used as an address: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Return the answer to a question below `/api/v1/`. Raises RefusedError or AwayError."""
        return self._answer("GET", path, parameters=parameters)

    def post(self, path: str, body: Any) -> Any:
        """Send JSON. Raises RefusedError or AwayError."""
        return self._answer("POST", path, body=body)

    def patch(self, path: str, body: Any) -> Any:
        """Change something. Raises RefusedError or AwayError."""
        return self._answer("PATCH", path, body=body)

    def delete(self, path: str) -> None:
        """Delete something. Raises RefusedError or AwayError."""
        self._answer("DELETE", path)

    def post_otlp(self, address: str, body: bytes) -> bytes:
        """Send a gzipped OTLP body to an address and return the answer's bytes. Raises RefusedError or AwayError.

        Tried again while the server is away: a span that is sent twice counts once.
        """
        headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip", "accept": "*/*"}
        for attempt in range(RETRIES + 1):
            wait = float(2**attempt)
            try:
                response = self._http.post(address, content=body, headers=headers)
            except httpx.HTTPError as error:
                said = f"{address} cannot be reached: {error or type(error).__name__}"
            else:
                if response.is_success:
                    return response.content
                said = f"{address} answers HTTP {response.status_code}: {response.text[:500]}"
                if response.status_code not in _RETRIED:
                    raise RefusedError(said, response.status_code)
                wait = _asked_wait(response, wait)
            if attempt < RETRIES:
                click.echo(f"heliograph: the server is away, trying again in {wait:g} s", err=True)
                time.sleep(wait)
        raise AwayError(said)

    def pages(
        self, path: str, parameters: Mapping[str, Any] | None = None, *, cursor: str = "", size: int = PAGE
    ) -> Iterator[tuple[list[dict[str, Any]], str]]:
        """Yield the pages of a list with the cursor after each, '' after the last."""
        while True:
            page = self.get(path, {**(parameters or {}), "limit": size, **({"cursor": cursor} if cursor else {})})
            cursor = page.get("next_cursor") or ""
            yield page["items"], cursor
            if not cursor:
                return

    def items(self, path: str, parameters: Mapping[str, Any] | None = None, *, limit: int) -> list[dict[str, Any]]:
        """Return the first `limit` items of a list."""
        found: list[dict[str, Any]] = []
        for page, _ in self.pages(path, parameters, size=min(limit, PAGE)):
            found += page
            if len(found) >= limit:
                break
        return found[:limit]

    def _answer(self, method: str, path: str, *, parameters: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        attempt = 0
        while True:
            try:
                response = self._send(method, path, parameters, body)
            except httpx.HTTPError as error:
                if attempt >= RETRIES or method != "GET":
                    raise AwayError(f"{self.profile.url} cannot be reached: {error or type(error).__name__}") from error
                wait = float(2**attempt)
            else:
                may_retry = response.status_code == 429 or (method == "GET" and response.status_code in _RETRIED)
                if attempt >= RETRIES or not may_retry:
                    return _read(response, self.profile.url)
                wait = _asked_wait(response, float(2**attempt))
            attempt += 1
            click.echo(f"heliograph: the server is away, trying again in {wait:g} s", err=True)
            time.sleep(wait)

    def _send(self, method: str, path: str, parameters: Mapping[str, Any] | None, body: Any) -> httpx.Response:
        given = {name: value for name, value in (parameters or {}).items() if value not in (None, "", (), [])}
        request = self._http.build_request(method, f"/api/v1/{path}", params=given, json=body)
        response = self._http.send(request, stream=True)
        try:
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise AwayError(f"{self.profile.url} answers with more than {MAX_ANSWER_BYTES:,} bytes")
        finally:
            response.close()
        headers = {name: value for name, value in response.headers.items() if name in {"content-type", "retry-after"}}
        return httpx.Response(response.status_code, headers=headers, content=bytes(content), request=request)


def _asked_wait(response: httpx.Response, default: float) -> float:
    asked = response.headers.get("retry-after", "")
    return min(LONGEST_WAIT_S, float(asked) if asked.isdecimal() else default)


def _read(response: httpx.Response, url: str) -> Any:
    if response.status_code == 204:
        return None
    try:
        body = response.json() if response.content else None
    except ValueError:
        body = None
    if response.is_success and (body is not None or not response.content):
        return body
    message = _message(body) or f"HTTP {response.status_code} from {url}; is it Heliograph?"
    if 400 <= response.status_code < 500:
        raise RefusedError(message, response.status_code)
    raise AwayError(message)


def _message(body: Any) -> str:
    """Return problem details (RFC 9457) as a text: what, and which fields."""
    if not isinstance(body, dict) or "detail" not in body:
        return ""
    errors = body.get("errors") or []
    fields = [f"  {each.get('field')}: {each.get('detail')}" for each in errors if isinstance(each, dict)]
    return "\n".join([str(body["detail"]), *fields])
