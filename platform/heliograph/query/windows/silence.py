"""For how long nothing was heard: of a service, a model, ... that was heard of in the week before.

What was silent for a week is taken as gone: it has no value any more.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping

from heliograph.clickhouse import client
from heliograph.query.filters import put
from heliograph.query.windows.question import MAX_ROWS, Labels, Question, Shape, check_rows, ends_of
from heliograph.query.windows.spans import COLUMNS

GONE_AFTER = 7 * 1_440

HEARD = """
SELECT [{labels}]::Array(String) AS labels, maxIf(m, m < %(first)s) AS before,
    arraySort(groupUniqArrayIf(m, m >= %(first)s)) AS later
FROM (
    SELECT *, intDiv(toUnixTimestamp(r.minute), 60) AS m
    FROM span_rollups_1m AS r
    WHERE r.project_id = %(project_id)s AND {where}
        AND r.minute >= toDateTime(%(start_s)s, 'UTC') AND r.minute < toDateTime(%(end_s)s, 'UTC')
) AS r
GROUP BY labels
LIMIT %(limit)s
"""


def answer(
    project_id: int, shape: Shape, questions: Collection[Question], wanted: Collection[int]
) -> Mapping[tuple[str, str, float | None], Mapping[Labels, Mapping[int, float]]]:
    """Return the minutes since the last span of each group; the window does not matter."""
    ends = ends_of(shape.window, wanted).ends
    where, parameters = shape.narrowed(questions, COLUMNS)
    sql = put(HEARD, labels=", ".join(COLUMNS[name] for name in shape.dimensions), where=where)
    bounds = {"first": ends[0], "start_s": (ends[0] - GONE_AFTER) * 60, "end_s": ends[-1] * 60}
    rows = client.query(project_id, sql, parameters | bounds | {"limit": MAX_ROWS + 1}, tag="windows.silence")
    check_rows(len(rows) * len(ends))
    found: dict[Labels, dict[int, float]] = {}
    for row in rows:
        minutes = [*([row["before"]] if row["before"] else []), *row["later"]]
        points = {}
        for end in ends:
            heard = bisect_left(minutes, end)
            if heard and end - minutes[heard - 1] <= GONE_AFTER:
                points[end] = float(end - 1 - minutes[heard - 1])
        found[tuple(row["labels"])] = points
    return {("silence", "", None): found}
