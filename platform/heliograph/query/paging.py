"""Pages of a list by position, not by number, so that page 1,000 costs what page 1 does."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Generic, TypeVar

from heliograph.query.filters import InvalidFilterError

# A page in the order of storage needs few rows; the store would read ahead many times as much to merge its parts.
IN_ORDER = "SETTINGS read_in_order_use_buffering = 0"

Item = TypeVar("Item")
# A page is read by a person or a program's loop; more rows are more pages.
MAX_PAGE = 1_000
# Three ids and two times take about 150 characters.
_MAX_CURSOR_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items of a list, and the cursor of those after them: None where the list ends."""

    items: tuple[Item, ...]
    next_cursor: str | None


def encode_cursor(*parts: int | str) -> str:
    """Return a position as an opaque text that is safe in a URL."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type[int] | type[str]) -> tuple[int | str, ...]:
    """Return the parts of a cursor. Raises InvalidFilterError where it is not one of this list's."""
    try:
        if len(cursor) > _MAX_CURSOR_CHARACTERS:
            raise ValueError("too long")
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
            raise ValueError("other parts")
        if any(isinstance(part, int) and not 0 <= part < 2**63 for part in parts):
            raise ValueError("out of range")
    except (ValueError, binascii.Error, RecursionError) as error:
        raise InvalidFilterError("cursor", "is not one that this list gave") from error
    return tuple(parts)


def check_limit(limit: int) -> int:
    """Return a page size. Raises InvalidFilterError beyond 1 to MAX_PAGE."""
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidFilterError("limit", f"must be from 1 to {MAX_PAGE}")
    return limit
