"""The statements of `fleet`. `{where}` is put in from clauses, values are bound."""

DEVICES = """
SELECT host, gpu_uuid, anyLast(name) AS name, anyLast(gpu_index) AS gpu_index, anyLast(parent) AS parent,
    anyLast(mig_profile) AS mig_profile, toUnixTimestamp64Nano(min(first_seen)) AS first_seen_ns,
    toUnixTimestamp64Nano(max(last_seen)) AS last_seen_ns
FROM (
    SELECT host, gpu_uuid, name, gpu_index, parent, mig_profile, first_seen, last_seen
    FROM gpu_devices
    WHERE project_id = %(project_id)s AND week >= toDateTime(%(since_s)s, 'UTC') AND week < toDateTime(%(end_s)s, 'UTC')
        AND (host, gpu_uuid) > (%(after_host)s, %(after_uuid)s) AND {where}
    ORDER BY week
)
GROUP BY host, gpu_uuid
HAVING first_seen_ns < %(end_s)s * 1000000000
ORDER BY host, gpu_uuid
LIMIT %(limit)s
"""

DEVICE = """
SELECT host, argMax(resource, last_seen) AS resource,
    toUnixTimestamp64Nano(min(d.first_seen)) AS first_seen_ns, toUnixTimestamp64Nano(max(d.last_seen)) AS last_seen_ns
FROM gpu_devices AS d
WHERE project_id = %(project_id)s AND gpu_uuid = %(gpu_uuid)s AND week < toDateTime(%(end_s)s, 'UTC')
GROUP BY host
ORDER BY last_seen_ns DESC
LIMIT 1
"""

# Mean power is the energy counter's rise over its time, where there is one: a gauge is a sample.
# Counters are compared from bucket to bucket; one that fell was reset, and shows what was counted since.
CONDITIONS = """
SELECT host, gpu_uuid,
    sumIf(u_sum, is_in) / nullIf(sumIf(u_count, is_in), 0) AS utilization,
    ifNull(sumMap(rose)['energy'] / nullIf(sum(metered_s), 0), sumIf(p_sum, is_in) / nullIf(sumIf(p_count, is_in), 0))
        AS power,
    maxIf(p_limit, is_in) AS power_limit,
    maxIf(m_used, is_in) AS memory_used, maxIf(m_limit, is_in) AS memory_limit, maxIf(warmest, is_in) AS temperature,
    toUnixTimestamp(maxIf(latest, is_in)) AS last_minute_s, sumMap(rose) AS grown,
    maxMap(if(is_in, was, map())) AS states, argMaxIf(was, bucket, is_in) AS states_now
FROM (
    SELECT *, bucket >= 0 AS is_in,
        mapApply((k, v) -> (k, if(is_in AND mapContains(before, k), if(v >= before[k], v - before[k], v), 0)), ended)
            AS rose,
        if(is_in AND mapContains(before, 'energy') AND mapContains(ended, 'energy'),
            toUnixTimestamp(latest) - toUnixTimestamp(before_latest), 0) AS metered_s
    FROM (
        SELECT *, lagInFrame(ended) OVER w AS before, lagInFrame(latest) OVER w AS before_latest
        FROM (
            SELECT host, gpu_uuid,
                toInt32(floor((toUnixTimestamp(minute) - %(start_s)s) / %(step_s)s)) AS bucket,
                sum(r.utilization_sum) AS u_sum, sum(r.utilization_count) AS u_count,
                sum(r.power_sum) AS p_sum, sum(r.power_count) AS p_count,
                max(r.power_limit) AS p_limit, max(r.memory_used) AS m_used, max(r.memory_limit) AS m_limit,
                max(r.temperature) AS warmest, max(minute) AS latest, maxMap(r.counters) AS ended,
                maxMap(r.states) AS was
            FROM gpu_rollups_1m AS r
            WHERE project_id = %(project_id)s
                AND minute >= toDateTime(%(before_s)s, 'UTC') AND minute < toDateTime(%(end_s)s, 'UTC')
                AND (host, gpu_uuid) > (%(after_host)s, %(after_uuid)s) AND {where}
            GROUP BY host, gpu_uuid, bucket
        )
        WINDOW w AS (PARTITION BY host, gpu_uuid ORDER BY bucket ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    )
)
GROUP BY host, gpu_uuid
HAVING countIf(is_in) > 0
ORDER BY host, gpu_uuid
LIMIT %(limit)s
"""

XIDS = """
SELECT host, gpu_uuid, attributes['gpu.xid'] AS code, uniqExact(record_id) AS times
FROM gpu_events
WHERE project_id = %(project_id)s AND event_name = 'gpu.xid' AND {time} AND {where}
GROUP BY host, gpu_uuid, code
ORDER BY times DESC
LIMIT %(limit)s
"""

EVENTS = """
SELECT toUnixTimestamp64Nano(time) AS time_ns, host, gpu_uuid, event_name AS name, body, attributes
FROM gpu_events FINAL
WHERE project_id = %(project_id)s AND {time} AND {where}
ORDER BY time DESC
LIMIT %(limit)s
"""
