from collections.abc import Callable, Sequence
from typing import Any

# See kernel.h.
INTERFACE: int

class Reader:
    """Reads requests of spans by one table of keys.

    `columns` names a row's values in order. `classify` says what is done with a key (the numbers are in
    `collectors.otlp.fast`). `templates` is filled by whoever reads spans: key -> (row, rates or None, flags); `tools`
    too: definitions of tools as they came -> as the column holds them.
    """

    def __init__(
        self,
        columns: tuple[str, ...],
        classify: Callable[[str], int],
        templates: dict[bytes, tuple[tuple[Any, ...], tuple[Any, Any] | None, int]],
        tools: dict[str, str],
    ) -> None: ...
    @property
    def keys(self) -> int:
        """How many keys were met; after 65,536 no more are learned."""

    def read(
        self,
        body: bytes,
        make_base: Callable[[bytes, bytes], tuple[int, Any]],
        read_span: Callable[[bytes, Any, int, bytes | None], tuple[Any, ...]],
        check_span: Callable[[bytes], object],
        long_rows: list[int],
        oldest_ns: int,
        newest_ns: int,
        max_spans: int,
        surely_fits: int,
        max_bytes: int,
        max_key_chars: int,
        max_attributes: int,
        cuts_blobs: bool,
    ) -> tuple[list[list[Any]], tuple[int, int, int, int]] | None:
        """Return the columns and how many spans were refused, by reason; None where protobuf's parser must judge.

        `make_base` is asked for what a resource and a scope say: (its number, anything); `read_span` for the row of a
        span that has no template: (the span, the base, the row's place, the key of the template that it may become).
        What these raise is raised.
        """

def encode_strings(items: Sequence[str], /) -> bytes | None: ...
def encode_low_cardinality(items: Sequence[str], /) -> bytes | None: ...
def encode_maps(items: Sequence[dict[str, str]], /) -> bytes | None: ...
def encode_numbers(items: Sequence[Any], letter: str, nullable: bool, /) -> bytes | None: ...
def long_literals(text: str, least: int, /) -> list[tuple[int, int, bool]]: ...
def long_values(texts: dict[str, str], least: int, /) -> list[str]: ...
def mentions(body: bytes, marks: tuple[bytes, ...], /) -> bool: ...
