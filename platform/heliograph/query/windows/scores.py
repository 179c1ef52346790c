"""Windows over the verdicts of evaluators and people, along the time of what is judged."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from heliograph.clickhouse import client
from heliograph.query import scores_sql
from heliograph.query.filters import put
from heliograph.query.windows.question import MAX_ROWS, Labels, Question, Shape, check_rows, ends_of

COLUMNS = {
    "service": "toString(s.service)",
    "release": "toString(s.release)",
    "model": "toString(s.model)",
    "evaluator": "toString(s.evaluator)",
}

WINDOWS = """
SELECT name, labels, end, sum(scored) AS scored, sum(unscored) AS unscored, sum(total) AS total,
    sumForEach(below) AS below
FROM (
    SELECT toString(s.name) AS name, [{labels}]::Array(String) AS labels,
        intDiv(toUnixTimestamp(toDateTime(s.time)), 60) AS m,
        countIf(s.value IS NOT NULL) AS scored, countIf(s.kind = 'unscored') AS unscored,
        sum(ifNull(s.value, 0)) AS total,
        sumForEach(arrayMap(b -> toUInt64(ifNull(s.value < b, 0)), %(bounds)s::Array(Float64))) AS below
    FROM (
        SELECT * FROM scores FINAL
        WHERE project_id = %(project_id)s AND name IN %(names)s AND {rows}
    ) AS s
    WHERE {where}
    GROUP BY name, labels, m
)
ARRAY JOIN {join} AS end
WHERE {chosen}
GROUP BY name, labels, end
LIMIT %(limit)s
{settings}
"""


def answer(
    project_id: int, shape: Shape, questions: Collection[Question], wanted: Collection[int]
) -> Mapping[tuple[str, str, float | None], Mapping[Labels, Mapping[int, float]]]:
    """Return the measures of all groups of a shape, of each score and bound."""
    ends = ends_of(shape.window, wanted)
    bounds = sorted({question.bound for question in questions if question.bound is not None})
    where, parameters = shape.narrowed(questions, COLUMNS)
    sql = put(
        WINDOWS,
        labels=", ".join(COLUMNS[name] for name in shape.dimensions),
        rows=ends.rows("time"),
        join=ends.join("m"),
        chosen=ends.chosen(),
        where=where,
        settings=scores_sql.SETTINGS,
    )
    parameters |= {"bounds": bounds, "names": tuple({question.name for question in questions}), "limit": MAX_ROWS + 1}
    rows = client.query(project_id, sql, parameters, tag="windows.scores")
    check_rows(len(rows))
    asked = {(question.measure, question.name, question.bound) for question in questions}
    found: defaultdict[tuple[str, str, float | None], defaultdict[Labels, dict[int, float]]]
    found = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        labels, end, scored, unscored = tuple(row["labels"]), row["end"], row["scored"], row["unscored"]
        for measure, name, bound in asked:
            if name != row["name"]:
                continue
            point: float | None
            if measure == "scores":
                point = float(scored)
            elif measure == "score_unscored":
                point = unscored / (scored + unscored) if scored + unscored else 0.0
            elif not scored:
                point = None
            elif measure == "score_mean":
                point = row["total"] / scored
            else:
                point = row["below"][bounds.index(bound or 0.0)] / scored
            if point is not None:
                found[measure, name, bound][labels][end] = point
    return found
