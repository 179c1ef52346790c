"""The statements of `metrics`. `{labels}`, `{where}` and the like are put in from clauses, values are bound."""

from collections.abc import Mapping

METRIC_NAMES = """
SELECT metric AS name, any(unit) AS unit, any(type) AS type
FROM metric_points
WHERE project_id = %(project_id)s AND {time}
GROUP BY metric
ORDER BY metric
LIMIT 10000
"""

METRIC_KIND = """
SELECT unit, type, temporality, is_monotonic
FROM metric_points
WHERE project_id = %(project_id)s AND metric = %(metric)s AND {time}
LIMIT 1
"""

GAUGE_POINTS = """
SELECT labels, start_s, {across} AS value
FROM (
    SELECT {labels} AS labels, intDiv(toUnixTimestamp(time), %(step_s)s) * %(step_s)s AS start_s, series,
        sum(p.value) AS total, count() AS points, min(p.value) AS lowest, max(p.value) AS highest,
        argMax(p.value, p.time) AS latest, max(p.time) AS latest_time
    FROM (
        SELECT * FROM metric_points FINAL
        WHERE project_id = %(project_id)s AND metric = %(metric)s AND {time} AND {where} AND value IS NOT NULL
    ) AS p
    GROUP BY labels, start_s, series
)
GROUP BY labels, start_s
ORDER BY labels, start_s
LIMIT %(limit)s
"""

GAUGE_MINUTES = """
SELECT labels, start_s, {across} AS value
FROM (
    SELECT {labels} AS labels, intDiv(toUnixTimestamp(minute), %(step_s)s) * %(step_s)s AS start_s, series,
        sum(m.last) AS total, count() AS points, min(m.lowest) AS lowest, max(m.highest) AS highest,
        argMax(m.last, m.minute) AS latest, max(m.minute) AS latest_time
    FROM (
        SELECT host, gpu_uuid, series, minute, anyLast(r.service) AS service, anyLast(r.attributes) AS attributes,
            argMaxMerge(r.last) AS last, min(r.min) AS lowest, max(r.max) AS highest
        FROM metric_rollups_1m AS r
        WHERE project_id = %(project_id)s AND metric = %(metric)s AND {time}
        GROUP BY host, gpu_uuid, series, minute
    ) AS m
    WHERE {where}
    GROUP BY labels, start_s, series
)
GROUP BY labels, start_s
ORDER BY labels, start_s
LIMIT %(limit)s
"""

# Of each series in each bucket: how much was counted, over how many seconds; then the series of a group are added.
# What was counted over an unknown time (`seconds` is NULL) is in the increase and in no rate.
COUNTER_BUCKETS = """
SELECT labels, start_s, {across} AS value
FROM (
    SELECT labels, start_s, series, sum(counted) AS increase,
        sumIf(counted, isNotNull(seconds)) / sum(seconds) AS rate
    FROM ({steps})
    WHERE start_s >= %(from_s)s
    GROUP BY labels, start_s, series
)
GROUP BY labels, start_s
HAVING isNotNull(value)
ORDER BY labels, start_s
LIMIT %(limit)s
"""

# A start equal to the point's own time is an unknown one, and tells of no restart.
CUMULATIVE_STEPS = """
    SELECT labels, series, intDiv(toUnixTimestamp(time), %(step_s)s) * %(step_s)s AS start_s,
        if(value < before OR (start_time > time_before AND start_time < time), value, value - before) AS counted,
        (toUnixTimestamp64Nano(time) - toUnixTimestamp64Nano(time_before)) / 1e9 AS seconds
    FROM (
        SELECT {labels} AS labels, series, time, start_time, {value} AS value,
            lagInFrame(toNullable({value})) OVER w AS before, lagInFrame(toNullable(time)) OVER w AS time_before
        FROM metric_points FINAL
        WHERE project_id = %(project_id)s AND metric = %(metric)s AND {time} AND {where} AND {value} IS NOT NULL
        WINDOW w AS (PARTITION BY series ORDER BY time ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    )
    WHERE before IS NOT NULL
"""

# A delta speaks of its own interval; `seconds` is the bucket's, shared among the points of one series.
DELTA_STEPS = """
    SELECT {labels} AS labels, series, intDiv(toUnixTimestamp(time), %(step_s)s) * %(step_s)s AS start_s,
        sum({value}) AS counted, toFloat64(%(step_s)s) AS seconds
    FROM metric_points FINAL
    WHERE project_id = %(project_id)s AND metric = %(metric)s AND {time} AND {where} AND {value} IS NOT NULL
    GROUP BY labels, series, start_s
"""

# Of a series' first minute the rollup does not know how much of it lay between its first point and its last.
CUMULATIVE_MINUTES = """
    SELECT labels, series, intDiv(toUnixTimestamp(minute), %(step_s)s) * %(step_s)s AS start_s,
        multiIf(before IS NULL, 0, first < before, first, first - before) + if(last < first, last, last - first)
            AS counted,
        toFloat64(toUnixTimestamp(minute) - toUnixTimestamp(minute_before)) AS seconds
    FROM (
        SELECT {labels} AS labels, series, minute, first, last,
            lagInFrame(toNullable(last)) OVER w AS before, lagInFrame(toNullable(minute)) OVER w AS minute_before
        FROM (
            SELECT host, gpu_uuid, series, minute, anyLast(r.service) AS service, anyLast(r.attributes) AS attributes,
                argMinMerge(r.first) AS first, argMaxMerge(r.last) AS last
            FROM metric_rollups_1m AS r
            WHERE project_id = %(project_id)s AND metric = %(metric)s AND {time}
            GROUP BY host, gpu_uuid, series, minute
        )
        WHERE {where}
        WINDOW w AS (PARTITION BY series ORDER BY minute ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    )
"""

ACROSS_GAUGES: Mapping[str, str] = {
    "avg": "sum(total) / sum(points)",
    "min": "min(lowest)",
    "max": "max(highest)",
    "sum": "sum(total / points)",
    "last": "argMax(latest, latest_time)",
}
ACROSS_COUNTERS: Mapping[str, str] = {"rate": "sum(rate)", "increase": "sum(increase)"}
