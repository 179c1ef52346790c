"""Long texts back in their places (collectors/contents.py): one question for all the rows of an answer.

- `restore(project_id, rows, names)` changes rows in place
- `restored(project_id, texts) -> list[str]`, for single messages with the `contents` of their spans
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from collectors import contents
from heliograph.clickhouse import client

# One question's text stays below ClickHouse's max_query_size (256 KiB), at 36 characters a hash.
_MOST_HASHES = 4_000
# Of one question: what a page or a batch of an evaluator holds in memory, beside the texts that it makes of it.
MOST_CHARS = 64 * 2**20
# Rows with an input, an output and documents of 1 MiB each stay within it.
_ROWS_AT_ONCE = 16
_CHARS_A_QUERY = 8 * 2**20

CONTENTS = """
SELECT hash, text
FROM contents
WHERE project_id = %(project_id)s AND hash IN %(hashes)s
LIMIT 1 BY hash
"""


def restore(project_id: int, rows: Iterable[dict[str, Any]], names: Sequence[str]) -> None:
    """Put the originals into the columns `names` of rows, and take their column `contents` away.

    A column holds a text, attributes by key, or a list of these. What is beyond MOST_CHARS stays out, and its place
    says so.
    """
    split = [(row, used) for row in rows if (used := row.pop("contents"))]
    for first in range(0, len(split), _ROWS_AT_ONCE):
        _restore(project_id, split[first : first + _ROWS_AT_ONCE], names)


def _restore(project_id: int, split: Sequence[tuple[dict[str, Any], Sequence[str]]], names: Sequence[str]) -> None:
    wanted: dict[str, int] = {}
    for row, used in split:
        for name in names:
            for text in _texts(row[name]):
                wanted |= contents.references(text, used)
    texts = _read(project_id, wanted)
    for row, used in split:
        for name in names:
            row[name] = _restored(row[name], used, texts)


def restored(project_id: int, texts: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the originals of texts of parsed messages, each with the `contents` of its span."""
    wanted: dict[str, int] = {}
    for text, used in texts:
        wanted |= contents.references(text, used)
    found = _read(project_id, wanted)
    return [contents.restore(text, used, found, is_parsed=True) for text, used in texts]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _restored(value: Any, used: Sequence[str], texts: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return contents.restore(value, used, texts)
    if isinstance(value, dict):
        return {key: _restored(each, used, texts) for key, each in value.items()}
    return [_restored(each, used, texts) for each in value]


def _read(project_id: int, wanted: Mapping[str, int]) -> dict[str, str]:
    """Return texts by hash, in questions of a bounded size; `wanted` are the lengths by hash."""
    found: dict[str, str] = {}
    chunk: list[str] = []
    size = total = 0
    for hash_, length in wanted.items():
        total += length
        if total > MOST_CHARS:
            break
        if chunk and (len(chunk) == _MOST_HASHES or size + length > _CHARS_A_QUERY):
            found |= _ask(project_id, chunk)
            chunk, size = [], 0
        chunk.append(hash_)
        size += length
    return found | _ask(project_id, chunk) if chunk else found


def _ask(project_id: int, hashes: Sequence[str]) -> dict[str, str]:
    rows = client.query_columns(project_id, CONTENTS, {"hashes": tuple(hashes)}, tag="contents.texts")
    return dict(zip(rows["hash"], rows["text"], strict=True))
