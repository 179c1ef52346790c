"""JSON lines in and out, each line bounded and each fault named by its line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

# The largest context of today's models is some 8 MB of text; a longer line is not a sample.
MAX_LINE_BYTES = 32 * 1024 * 1024


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    """(line number from 1, object or the fault) of every line that is not blank.

    A fault is a ValueError: a line over MAX_LINE_BYTES, not UTF-8, not JSON, or not an object.
    """
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                yield number, ValueError(f"longer than {MAX_LINE_BYTES} bytes")
                while line and not line.endswith(b"\n"):
                    line = lines.readline(MAX_LINE_BYTES)
            elif line.strip():
                yield number, _parse(line)


def _parse(line: bytes) -> dict[str, Any] | ValueError:
    try:
        # A byte order mark is what some editors put before the first line.
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return ValueError("not UTF-8")
    except json.JSONDecodeError as error:
        return ValueError(f"not JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        return ValueError("JSON nested too deeply")
    return row if isinstance(row, dict) else ValueError("not a JSON object")


def to_json(row: Mapping[str, Any]) -> str:
    """One line of strict JSON; numpy values become plain ones, and a number that is not finite becomes null."""
    return json.dumps(_plain(row), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)
