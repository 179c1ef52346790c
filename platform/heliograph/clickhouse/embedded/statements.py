"""Which statements wait for data from the client."""

import re
from dataclasses import dataclass

# What clickhouse-driver and ClickHouse's own client send before blocks: an INSERT that ends in VALUES or FORMAT.
_INSERT = re.compile(
    r"""\s*(?P<target>INSERT\s+INTO\s+(?:TABLE\s+)?
        (?P<table>(?:`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|\w+)(?:\s*\.\s*(?:`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|\w+))?)
        \s*(?:\((?P<columns>(?:`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|[^()'`"])*)\))?)
        (?:\s+SETTINGS\s+(?P<settings>.*?))?
        \s*(?:VALUES|FORMAT\s+\w+)\s*;?\s*$""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class InsertOfBlocks:
    """An INSERT whose rows follow as blocks."""

    target: str  # INSERT INTO table (columns)
    settings: str  # what its SETTINGS clause says, or ''
    sample: str  # a SELECT with the same columns


def insert_of_blocks(sql: str) -> InsertOfBlocks | None:
    """Return the parts of an INSERT that waits for blocks, or None for any other statement."""
    match = _INSERT.match(sql)
    if match is None:
        return None
    return InsertOfBlocks(
        target=match["target"],
        settings=match["settings"] or "",
        sample=f"SELECT {match['columns'] or '*'} FROM {match['table']}",  # noqa: S608  # the client's own SQL, quoted as it came
    )
