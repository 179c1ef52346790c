"""The statements of `serving`. `{instance}`, `{time}` and `{where}` are put in from clauses, values are bound."""

# Where an instance says who it is: its own resource, else the labels of a Prometheus receiver.
INSTANCE = """
    multiIf(
        resource['service.instance.id'] != '', resource['service.instance.id'],
        attributes['instance'] != '', attributes['instance'],
        resource['server.address'] != '', concat(resource['server.address'], ':', resource['server.port']),
        ''
    )
"""

SERVING_INSTANCES = """
SELECT service, host, {instance} AS instance, metric,
    anyLast(resource[%(engine_key)s]) AS engine, anyLast(resource[%(version_key)s]) AS version,
    groupUniqArrayIf(20)(model, model != '') AS models
FROM (
    SELECT *, arrayFirst(v -> v != '', arrayMap(k -> attributes[k], %(model_keys)s)) AS model
    FROM metric_points
    WHERE project_id = %(project_id)s AND metric IN %(metrics)s AND {time}
)
GROUP BY service, host, instance, metric
ORDER BY service, host, instance, metric
LIMIT %(limit)s
"""

# A series' step from one point to the next: what was counted, over how long, and whether the process began again in
# between; then what its points of one bucket say; then all series of an instance.
SERVING_BUCKETS = """
SELECT service, host, instance, metric, tags, bounds, start_s,
    sum(level) AS level_sum, avg(level) AS level_avg, max(level) AS level_max,
    sum(counted_value) AS value, sum(counted_count) AS count, sum(counted_sum) AS sum,
    sum(steady_value / nullIf(steady_s, 0)) AS rate_value,
    sum(steady_count / nullIf(steady_s, 0)) AS rate_count,
    sum(steady_sum / nullIf(steady_s, 0)) AS rate_sum,
    sumForEach(counted_buckets) AS buckets, sum(steps) AS steps, sum(resets) AS resets, any(type) AS type
FROM (
    SELECT service, host, instance, metric, tags, series, bounds, start_s,
        avg(value) AS level,
        sum(d_value) AS counted_value, sum(d_count) AS counted_count, sum(d_sum) AS counted_sum,
        sumIf(d_value, NOT is_reset) AS steady_value, sumIf(d_count, NOT is_reset) AS steady_count,
        sumIf(d_sum, NOT is_reset) AS steady_sum, sumIf(seconds, NOT is_reset AND has_step) AS steady_s,
        sumForEachIf(d_buckets, has_step) AS counted_buckets,
        countIf(has_step) AS steps, countIf(has_step AND is_reset) AS resets, any(type) AS type
    FROM (
        SELECT *,
            is_delta OR before_time IS NOT NULL AS has_step,
            NOT is_delta AND before_time IS NOT NULL AND (
                ifNull(value < before_value, 0) OR count < before_count OR bounds != before_bounds
                OR (start_time > before_time AND start_time < time)
            ) AS is_reset,
            if(is_delta, toUnixTimestamp64Nano(time) - toUnixTimestamp64Nano(start_time),
                toUnixTimestamp64Nano(time) - toUnixTimestamp64Nano(before_time)) / 1e9 AS seconds,
            if(has_step, value - if(is_delta OR is_reset, 0, ifNull(before_value, 0)), NULL) AS d_value,
            if(has_step, toFloat64(count) - if(is_delta OR is_reset, 0, toFloat64(before_count)), NULL) AS d_count,
            if(has_step, sum - if(is_delta OR is_reset, 0, ifNull(before_sum, 0)), NULL) AS d_sum,
            if(is_delta OR is_reset OR length(before_buckets) != length(bucket_counts),
                arrayMap(n -> toFloat64(n), bucket_counts),
                arrayMap((n, b) -> toFloat64(n) - toFloat64(b), bucket_counts, before_buckets)) AS d_buckets
        FROM (
            SELECT service, host, {instance} AS instance, metric, arrayMap(k -> attributes[k], %(tag_keys)s) AS tags,
                series, time, start_time, value, count, sum, bounds, bucket_counts, type,
                temporality = 'delta' AS is_delta,
                %(from_s)s + intDiv(toUnixTimestamp(time) - %(from_s)s, %(step_s)s) * %(step_s)s AS start_s,
                lagInFrame(toNullable(time)) OVER w AS before_time,
                lagInFrame(value) OVER w AS before_value, lagInFrame(count) OVER w AS before_count,
                lagInFrame(sum) OVER w AS before_sum, lagInFrame(bounds) OVER w AS before_bounds,
                lagInFrame(bucket_counts) OVER w AS before_buckets
            FROM metric_points FINAL
            WHERE project_id = %(project_id)s AND metric IN %(metrics)s AND {time} AND {where}
            WINDOW w AS (PARTITION BY metric, series ORDER BY time ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
        )
    )
    WHERE toUnixTimestamp(time) >= %(from_s)s
    GROUP BY service, host, instance, metric, tags, series, bounds, start_s
)
GROUP BY service, host, instance, metric, tags, bounds, start_s
ORDER BY service, host, instance, metric, tags, start_s
LIMIT %(limit)s
"""
