"""The statements of `gpu_series`. `{time}` and `{where}` are put in from clauses, values are bound."""

from heliograph.query.filters import put

_LABEL = "arrayStringConcat(arrayFilter(v -> v != '', arrayMap(k -> attributes[k], %(labels)s)), ' ')"

LEVEL_POINTS = put(
    """
SELECT gpu_uuid, metric, {label} AS label, any(p.unit) AS unit,
    intDiv(toUnixTimestamp(time), %(step_s)s) * %(step_s)s AS at_s, avg(p.value) AS value
FROM (
    SELECT gpu_uuid, metric, attributes, unit, time, value
    FROM metric_points FINAL
    WHERE project_id = %(project_id)s AND metric IN %(metrics)s AND {where} AND {time} AND value IS NOT NULL
) AS p
GROUP BY gpu_uuid, metric, label, at_s
ORDER BY gpu_uuid, metric, label, at_s
LIMIT %(limit)s
""",
    label=_LABEL,
)

LEVEL_MINUTES = put(
    """
SELECT gpu_uuid, metric, {label} AS label, any(m.unit) AS unit,
    intDiv(toUnixTimestamp(minute), %(step_s)s) * %(step_s)s AS at_s, avg(m.last) AS value
FROM (
    SELECT gpu_uuid, metric, series, minute, anyLast(r.attributes) AS attributes, anyLast(r.unit) AS unit,
        argMaxMerge(r.last) AS last
    FROM metric_rollups_1m AS r
    WHERE project_id = %(project_id)s AND metric IN %(metrics)s AND {where} AND {time}
    GROUP BY gpu_uuid, metric, series, minute
) AS m
GROUP BY gpu_uuid, metric, label, at_s
ORDER BY gpu_uuid, metric, label, at_s
LIMIT %(limit)s
""",
    label=_LABEL,
)

# A rise belongs to the time from which it is counted. The rollup's first value of a minute stands near its beginning,
# so that from minute to minute it is known what was counted over how long, also where the sender went silent.
# Of each series what it rose by and over how long; then the series that share a label are added.
_RATES = """
SELECT gpu_uuid, metric, label, any(each_unit) AS unit, at_s, sum(rise / nullIf(seconds, 0)) AS value
FROM (
    SELECT gpu_uuid, metric, label, series, any(unit) AS each_unit, at_s, sum(counted) AS rise, sum(passed) AS seconds
    FROM (
        SELECT gpu_uuid, metric, label, series, unit,
            intDiv(toUnixTimestamp(before_at), %(step_s)s) * %(step_s)s AS at_s,
            if(value < before, value, value - before) AS counted,
            (toUnixTimestamp64Nano(at) - toUnixTimestamp64Nano(before_at)) / 1e9 AS passed
        FROM (
            SELECT *, lagInFrame(toNullable(value)) OVER w AS before, lagInFrame(toNullable(at)) OVER w AS before_at
            FROM ({readings})
            WINDOW w AS (PARTITION BY metric, series ORDER BY at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
        )
        WHERE before IS NOT NULL
    )
    WHERE at_s >= %(from_s)s
    GROUP BY gpu_uuid, metric, label, series, at_s
)
GROUP BY gpu_uuid, metric, label, at_s
HAVING isNotNull(value)
ORDER BY gpu_uuid, metric, label, at_s
LIMIT %(limit)s
"""

RATE_POINTS = put(
    _RATES,
    readings="""
                SELECT gpu_uuid, metric, series, unit, time AS at, value, {label} AS label
                FROM metric_points FINAL
                WHERE project_id = %(project_id)s AND metric IN %(metrics)s AND {where} AND {time}
                    AND value IS NOT NULL
            """,
    label=_LABEL,
)

RATE_MINUTES = put(
    _RATES,
    readings="""
                SELECT gpu_uuid, metric, series, unit, toDateTime64(minute, 9, 'UTC') AS at, first AS value,
                    {label} AS label
                FROM (
                    SELECT gpu_uuid, metric, series, minute, anyLast(r.attributes) AS attributes,
                        anyLast(r.unit) AS unit, argMinMerge(r.first) AS first
                    FROM metric_rollups_1m AS r
                    WHERE project_id = %(project_id)s AND metric IN %(metrics)s AND {where} AND {time}
                    GROUP BY gpu_uuid, metric, series, minute
                )
            """,
    label=_LABEL,
)
