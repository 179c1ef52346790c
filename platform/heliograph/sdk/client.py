"""The public API for the SDK: the standard library alone, tried again while the server is away."""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from heliograph.sdk.destination import destination

TIMEOUT_S = 60.0
# A server that is restarted is back by then.
TRIES = 6
FIRST_WAIT_S = 0.5
_RETRIED = frozenset({429, 502, 503, 504})
# A page of rows with long contexts.
MAX_ANSWER_BYTES = 256 * 2**20
PAGE = 200


class ApiError(Exception):
    """The server refused, or could not be reached; the text says what it said."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Client:
    """A project's API. Everything that is sent may be sent again: the server keeps one result a row."""

    web_address: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, api_key: str = "", web_address: str = "") -> "Client":
        """Return the client of the arguments, else of HELIOGRAPH_API_KEY and HELIOGRAPH_URL."""
        target = destination(api_key=api_key, web_address=web_address)
        return cls(target.web_address, target.headers)

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the answer to a question. Raises ApiError."""
        given = {name: value for name, value in parameters.items() if value not in ("", None)}
        return self._ask("GET", path + ("?" + urllib.parse.urlencode(given) if given else ""), None)

    def post(self, path: str, body: Any = None) -> Any:
        """Send JSON. Raises ApiError."""
        return self._ask("POST", path, json.dumps(body if body is not None else {}).encode())

    def pages(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yield every item of a list. Raises ApiError."""
        cursor = ""
        while True:
            page = self.get(path, limit=PAGE, cursor=cursor, **parameters)
            yield from page["items"]
            cursor = page["next_cursor"] or ""
            if not cursor:
                return

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(  # noqa: S310  # the address is the user's own setting
            f"{self.web_address}/api/v1/{path}",
            data=body,
            method=method,
            headers={"content-type": "application/json", "accept": "application/json", **self.headers},
        )
        for attempt in range(1, TRIES + 1):
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310  # as above
                    return json.loads(response.read(MAX_ANSWER_BYTES) or b"null")
            except urllib.error.HTTPError as error:
                with error:
                    said = _message(error.read(20_000))
                if error.code not in _RETRIED or attempt == TRIES:
                    raise ApiError(said or f"HTTP {error.code} from {self.web_address}", error.code) from error
            except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
                if attempt == TRIES:
                    raise ApiError(f"{self.web_address} cannot be reached: {error}") from error
            time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
        raise AssertionError("the last try returns or raises")


def _message(raw: bytes) -> str:
    try:
        body = json.loads(raw)
        fields = [f"{each['field']}: {each['detail']}" for each in body.get("errors", [])]
        return "; ".join([body["detail"], *fields])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
