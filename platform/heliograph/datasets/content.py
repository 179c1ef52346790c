"""What a row says: checked, bounded, and named by a hash of itself."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

# A context of 128 k tokens is about half a megabyte of text.
MAX_ROW_BYTES = 2**20
MAX_KEY_CHARACTERS = 200
MAX_SPLIT_CHARACTERS = 50
# Python's parser and ours walk values by recursion; data of people and programs stays far below.
MAX_DEPTH = 50
# JSON of a double is exact to here, and so is everything else that reads it.
_MAX_INTEGER = 2**63


class InvalidRowError(ValueError):
    """A row that cannot be kept; `field` names the part at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class RowContent:
    """A row as it is given: `key` '' is chosen by what the input says, `split` None keeps the one that the row has.

    Raises InvalidRowError.
    """

    input: Any
    expected: Any = None
    context: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    split: str | None = None
    trace_id: str = ""
    span_id: str = ""

    def __post_init__(self) -> None:
        if self.input is None or self.input in ("", [], {}):
            raise InvalidRowError("input", "is empty; a row needs something to put to the system under test")
        if not isinstance(self.metadata, Mapping) or any(not isinstance(name, str) for name in self.metadata):
            raise InvalidRowError("metadata", "must be an object")
        check_key(self.key)
        if self.split is not None:
            check_split(self.split)
        for name, length in (("trace_id", 32), ("span_id", 16)):
            if (given := getattr(self, name)) and not re.fullmatch(rf"[0-9a-f]{{{length}}}", given):
                raise InvalidRowError(name, f"must be {length} hexadecimal digits, or left out")
        for name in ("input", "expected", "context", "metadata"):
            check_json(name, getattr(self, name), 0)
        if self.size > MAX_ROW_BYTES:
            raise InvalidRowError("input", f"the row has {self.size:,} bytes as JSON; at most {MAX_ROW_BYTES:,} fit")

    @property
    def canonical(self) -> str:
        """The content as JSON of one form: the same content always gives the same text."""
        parts = [self.input, self.expected, self.context, dict(self.metadata)]
        return json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    @property
    def size(self) -> int:
        """Bytes as JSON."""
        return len(self.canonical.encode())

    def content_id(self, dataset_id: int) -> UUID:
        """Return the id under which a data set stores this content: half of a SHA-256."""
        digest = hashlib.sha256(f"{dataset_id}\n{self.canonical}".encode()).digest()
        return UUID(bytes=digest[:16])

    def named(self, occurrence: int = 1) -> "RowContent":
        """Return the row with a key: its own, else one made of the input, so that a row that comes again is the same.

        `occurrence` counts rows without a key and of one input, from 1.
        """
        if self.key:
            return self
        return replace(self, key=input_key(self.input) + (f"-{occurrence}" if occurrence > 1 else ""))


def input_key(given: Any) -> str:
    """Return the key of a row that brings none: 128 bits of the SHA-256 of its input."""
    text = json.dumps(given, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def check_key(key: str) -> None:
    """Raise InvalidRowError for what cannot name a row."""
    if len(key) > MAX_KEY_CHARACTERS:
        raise InvalidRowError("id", f"has {len(key)} characters; at most {MAX_KEY_CHARACTERS} fit")
    if not key.isprintable() or key != key.strip():
        raise InvalidRowError("id", "holds a line break, another control character, or a space at an end")


def check_split(split: str) -> None:
    """Raise InvalidRowError for what cannot name a split."""
    if len(split) > MAX_SPLIT_CHARACTERS:
        raise InvalidRowError("split", f"has {len(split)} characters; at most {MAX_SPLIT_CHARACTERS} fit")
    if not split.isprintable() or split != split.strip():
        raise InvalidRowError("split", "holds a line break, another control character, or a space at an end")


def check_json(name: str, value: Any, depth: int = 0) -> None:
    """Raise InvalidRowError, for the field `name`, where a value is no JSON that every database keeps."""
    if depth > MAX_DEPTH:
        raise InvalidRowError(name, f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InvalidRowError(name, "has a key that is no text")
            _check_scalar(name, key)
            check_json(name, inner, depth + 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            check_json(name, inner, depth + 1)
    else:
        _check_scalar(name, value)


def _check_scalar(name: str, value: Any) -> None:
    if isinstance(value, str):
        # PostgreSQL stores neither in JSON.
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InvalidRowError(name, "holds a NUL character or half of a surrogate pair")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidRowError(name, "holds a number that is not finite")
    elif isinstance(value, int):
        if not -_MAX_INTEGER <= value < _MAX_INTEGER:
            raise InvalidRowError(name, "holds an integer of more than 64 bits; send it as a text")
    elif value is not None:
        raise InvalidRowError(name, f"holds a {type(value).__name__}, which is no JSON")
