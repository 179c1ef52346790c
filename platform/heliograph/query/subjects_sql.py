"""The statements of `subjects`."""

CANDIDATES = """
SELECT id, toUnixTimestamp64Nano(max(h.last_seen)) AS last_ns
FROM subject_hours AS h
WHERE h.project_id = %(project_id)s AND h.kind = %(kind)s
    AND h.hour >= toStartOfHour(fromUnixTimestamp64Nano(%(from_ns)s, 'UTC'))
    AND h.hour <= fromUnixTimestamp64Nano(%(at_ns)s, 'UTC') AND h.hour < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
    AND (%(text)s = '' OR positionCaseInsensitiveUTF8(id, %(text)s) > 0)
GROUP BY id
HAVING (last_ns, id) < (%(at_ns)s, %(at_id)s) AND last_ns >= %(from_ns)s
ORDER BY last_ns DESC, id DESC
LIMIT %(limit)s
"""

LAST_SEEN = """
SELECT id, toUnixTimestamp64Nano(max(h.last_seen)) AS last_ns
FROM subject_hours AS h
WHERE h.project_id = %(project_id)s AND h.kind = %(kind)s
    AND h.hour >= toStartOfHour(fromUnixTimestamp64Nano(%(at_ns)s, 'UTC'))
    AND h.hour < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
    AND id IN %(ids)s
GROUP BY id
"""

_MINE = """
    SELECT id, trace_id, min(s.first_seen) AS first_seen, max(s.last_seen) AS last_seen
    FROM subject_traces AS s
    WHERE s.project_id = %(project_id)s AND s.kind = %(kind)s AND id IN %(ids)s
    GROUP BY id, trace_id
    HAVING last_seen >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')
        AND first_seen < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')"""

TRACES_OF_ONE = f"""
SELECT trace_id, toUnixTimestamp64Nano(first_seen) AS first_ns
FROM ({_MINE})
WHERE (first_ns, trace_id) > (%(at_ns)s, %(at_id)s)
ORDER BY first_ns, trace_id
LIMIT %(limit)s
"""  # noqa: S608  (constants)

LATEST = f"""{_MINE}
    ORDER BY last_seen DESC, trace_id
    LIMIT %(most)s BY id"""

SUMS = f"""
WITH mine AS ({LATEST})
SELECT
    m.id AS id,
    toUnixTimestamp64Nano(min(m.first_seen)) AS first_seen_ns,
    toUnixTimestamp64Nano(max(m.last_seen)) AS last_seen_ns,
    count() AS traces,
    countIf(t.errors > 0) AS failed,
    sum(t.calls) AS llm_calls,
    sum(t.input) AS input_tokens,
    sum(t.output) AS output_tokens,
    sum(t.spent) AS cost,
    sum(t.unpriced) AS unpriced_count,
    quantileExact(0.5)(t.lasted) AS latency_p50_ns,
    quantileExact(0.95)(t.lasted) AS latency_p95_ns,
    quantileExactOrNull(0.5)(t.first_token) AS ttft_p50_ns,
    arraySlice(groupUniqArray(20)(t.other), 1, 20) AS others,
    argMin(m.trace_id, m.first_seen) AS first_trace
FROM mine AS m
INNER JOIN (
    SELECT
        trace_id,
        sum(error_count) AS errors,
        sum(llm_count) AS calls,
        sum(input_tokens) AS input,
        sum(output_tokens) AS output,
        sum(cost) AS spent,
        sum(unpriced_count) AS unpriced,
        toUnixTimestamp64Nano(max(end_time)) - toUnixTimestamp64Nano(min(start_time)) AS lasted,
        min(ttft_ns) AS first_token,
        max({{other}}) AS other
    FROM traces
    WHERE project_id = %(project_id)s AND trace_id IN (SELECT trace_id FROM mine)
    GROUP BY trace_id
) AS t ON t.trace_id = m.trace_id
GROUP BY m.id
"""  # noqa: S608  (constants)

# Texts are most of what a row of `traces` holds, and only those of one trace each are shown.
SAID = """
SELECT trace_id, argMinMerge(t.name) AS name, argMinMerge(t.input_preview) AS input_preview
FROM traces AS t
WHERE t.project_id = %(project_id)s AND t.trace_id IN %(trace_ids)s
GROUP BY trace_id
"""

# All that was said near the range: the traces themselves are found once.
SCORES = f"""
WITH mine AS ({LATEST})
SELECT id, name, count() AS scored, avg(value) AS mean, stddevSamp(value) AS deviation
FROM (
    SELECT m.id AS id, s.name AS name, s.value AS value
    FROM mine AS m
    INNER JOIN (
        SELECT trace_id, name, assumeNotNull(value) AS value
        FROM scores FINAL
        WHERE project_id = %(project_id)s AND value IS NOT NULL AND trace_id != ''
            AND time >= fromUnixTimestamp64Nano(%(near_start_ns)s, 'UTC')
            AND time < fromUnixTimestamp64Nano(%(near_end_ns)s, 'UTC')
    ) AS s ON s.trace_id = m.trace_id
    UNION ALL
    SELECT session_id AS id, name, assumeNotNull(value) AS value
    FROM scores FINAL
    WHERE project_id = %(project_id)s AND value IS NOT NULL AND trace_id = ''
        AND %(kind)s = 'session' AND session_id IN %(ids)s
        AND time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
)
GROUP BY id, name
ORDER BY id, name
LIMIT 2000
SETTINGS do_not_merge_across_partitions_select_final = 1
"""  # noqa: S608  (constants)

# The minutes are those of `attribution_totals.of_traces`: a call is shared out in each minute in which it ran.
OWN_COSTS = f"""
WITH
    mine AS ({LATEST}),
    minutes AS (
        SELECT DISTINCT toDateTime(first_s + 60 * arrayJoin(range(
            toUInt32(least(intDiv(last_s - first_s, 60) + 1, %(most_minutes)s))
        )), 'UTC') AS minute
        FROM (
            SELECT intDiv(toUnixTimestamp64Nano(min(t.start_time)), 60000000000) * 60 AS first_s,
                intDiv(toUnixTimestamp64Nano(max(t.end_time)), 1000000000) AS last_s
            FROM traces AS t
            WHERE t.project_id = %(project_id)s AND t.trace_id IN (SELECT trace_id FROM mine)
            GROUP BY t.trace_id
        )
    )
SELECT m.id AS id, {{priced}}, {{sums}}, uniqExact(a.trace_id, a.span_id) AS requests
FROM attributions AS a
INNER JOIN mine AS m ON m.trace_id = a.trace_id
WHERE a.project_id = %(project_id)s AND a.minute IN (SELECT minute FROM minutes)
    AND a.trace_id IN (SELECT trace_id FROM mine)
    AND (a.minute, a.gpu_uuid, a.version) IN (
        SELECT minute, gpu_uuid, max(version)
        FROM attribution_windows
        WHERE project_id = %(project_id)s AND minute IN (SELECT minute FROM minutes)
        GROUP BY minute, gpu_uuid
    )
GROUP BY id, period, priced_name
LIMIT 10000
"""  # noqa: S608  (constants)
