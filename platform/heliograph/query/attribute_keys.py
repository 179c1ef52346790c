"""Which attribute keys a project's spans came with lately: counted over a bounded sample of the newest.

- `recent_keys(project_id, range) -> KeySample`

A sample and not a table of its own: a key stands in nearly every span of its sender or in none, so that the newest
SAMPLE_SPANS show it, and nobody pays for it at arrival. The keys are read without their values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.clickhouse import client
from heliograph.query.filters import TimeRange, put, started_in

# About 50 ms of reading keys alone, and an hour or a day of a project of some size.
SAMPLE_SPANS = 20_000
# Values are read for an example of each key, which the newest of its spans give.
EXAMPLE_SPANS = 1_000
EXAMPLE_CHARACTERS = 120
# Keys that senders number or make up; what is rarer than these is no convention.
MAX_KEYS = 5_000


@dataclass(frozen=True, slots=True)
class SeenKey:
    """An attribute key: in how many spans of the sample, of which services, and what it held in one of them.

    Numbered keys stand for each other: `key` has N in the place of each number, `as_sent` is one of them.
    """

    key: str
    as_sent: str
    spans: int
    services: tuple[str, ...]
    example: str


@dataclass(frozen=True, slots=True)
class KeySample:
    """The keys of the newest spans of a range, most frequent first; `spans` is how many were looked at."""

    spans: int
    keys: tuple[SeenKey, ...]


# Whence enough spans came, as the rollup counts them: so that parts without such minutes are not looked into. It counts
# what tail sampling removed since too, which may be most.
_REMOVED = 20
_SINCE = f"""toStartOfMinute(start_time) >= (
                SELECT min(minute)
                FROM (
                    SELECT r.minute AS minute,
                        sum(sum(r.spans)) OVER (
                            ORDER BY r.minute DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                        ) AS later
                    FROM span_rollups_1m AS r
                    WHERE r.project_id = %(project_id)s
                        AND r.minute >= toStartOfMinute(fromUnixTimestamp64Nano(%(start_ns)s, 'UTC'))
                        AND r.minute < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
                    GROUP BY r.minute
                )
                WHERE later < {_REMOVED} * %(sample)s
            )"""  # noqa: S608  (constants)
# The order of storage ends the reading, but of each part that holds the newest minutes a block is read first: blocks of
# a granule, since the usual ones are of 65,409 rows.
KEYS = f"""
SELECT
    replaceRegexpAll(
        replaceRegexpAll(sent, '\\\\.[0-9]+(\\\\.|$)', '.N\\\\1'), '\\\\.[0-9]+(\\\\.|$)', '.N\\\\1'
    ) AS key,
    min(sent) AS as_sent,
    uniqExact(number) AS spans,
    arraySort(groupUniqArray(3)(service)) AS services,
    max(sampled) AS looked_at
FROM (
    SELECT toString(service) AS service, keys, rowNumberInAllBlocks() AS number, count() OVER () AS sampled
    FROM (
        SELECT service, attributes.keys AS keys
        FROM spans
        WHERE project_id = %(project_id)s AND {{where}} AND {_SINCE}
        ORDER BY toStartOfMinute(start_time) DESC, start_time DESC
        LIMIT %(sample)s
    )
)
ARRAY JOIN keys::Array(String) AS sent
GROUP BY key
ORDER BY spans DESC, key
LIMIT %(limit)s
SETTINGS max_block_size = 4096
"""  # noqa: S608  (constants)

EXAMPLES = f"""
SELECT pair.1 AS key, any(pair.2) AS example
FROM (
    SELECT arrayJoin(arrayZip(
        mapKeys(attributes)::Array(String), arrayMap(v -> substringUTF8(v, 1, %(characters)s), mapValues(attributes))
    )) AS pair
    FROM (
        SELECT attributes
        FROM spans
        WHERE project_id = %(project_id)s AND {{where}} AND {_SINCE}
        ORDER BY toStartOfMinute(start_time) DESC, start_time DESC
        LIMIT %(sample)s
    )
)
WHERE key IN %(keys)s
GROUP BY key
"""  # noqa: S608  (constants)


def recent_keys(project_id: int, span: TimeRange) -> KeySample:
    """Return the keys of the newest SAMPLE_SPANS spans of a range, without examples. Raises StoreError."""
    where, parameters = started_in(span)
    parameters |= {"sample": SAMPLE_SPANS, "limit": MAX_KEYS}
    rows = client.query(project_id, put(KEYS, where=where), parameters, tag="attribute_keys.recent")
    sampled = rows[0]["looked_at"] if rows else 0
    keys = (SeenKey(row["key"], row["as_sent"], row["spans"], tuple(row["services"]), "") for row in rows)
    return KeySample(sampled, tuple(keys))


def examples(project_id: int, span: TimeRange, keys: Sequence[str]) -> dict[str, str]:
    """Return the beginning of a value of these keys, as they were sent, where one of the newest spans has it."""
    if not keys:
        return {}
    where, parameters = started_in(span)
    parameters |= {"sample": EXAMPLE_SPANS, "characters": EXAMPLE_CHARACTERS, "keys": tuple(keys)}
    rows = client.query(project_id, put(EXAMPLES, where=where), parameters, tag="attribute_keys.examples")
    return {row["key"]: row["example"] for row in rows}
