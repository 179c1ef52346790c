"""The statements of `scores`. `{where}` and the like are put in from clauses, values are bound."""

# A key's rows share their week, since their time is part of the key: no merge over partitions is needed.
SETTINGS = "SETTINGS do_not_merge_across_partitions_select_final = 1"

SCORE_NAMES = """
SELECT
    name,
    countIf(kind = 'number') AS scored,
    countIf(kind = 'label') AS labelled,
    countIf(kind = 'unscored') AS unscored
FROM scores FINAL
WHERE project_id = %(project_id)s AND {where}
GROUP BY name
ORDER BY name
LIMIT 1000
{settings}
"""

SCORE_LABELS = """
SELECT name, label, count() AS scores
FROM scores FINAL
WHERE project_id = %(project_id)s AND kind = 'label' AND {where}
GROUP BY name, label
ORDER BY scores DESC, name, label
LIMIT %(limit)s
{settings}
"""

SCORES_OF_TRACE = """
SELECT {columns}
FROM scores FINAL
WHERE project_id = %(project_id)s AND trace_id = %(trace_id)s
ORDER BY name, span_id, score_id
LIMIT %(limit)s
{settings}
"""

SCORES_OF_TRACES = """
SELECT {columns}
FROM scores FINAL
WHERE project_id = %(project_id)s AND trace_id IN %(trace_ids)s AND {where}
ORDER BY name, time, score_id
LIMIT %(limit)s
{settings}
"""

SCORES = """
SELECT {columns}
FROM scores FINAL
WHERE project_id = %(project_id)s AND {where}
ORDER BY time DESC, name DESC, score_id DESC, trace_id DESC, span_id DESC
LIMIT %(limit)s
{settings}
"""

SCORE_STATS = """
SELECT
    {group} AS group_key,
    countIf(s.value IS NOT NULL) AS scored,
    countIf(s.kind = 'label') AS labelled,
    countIf(s.kind = 'unscored') AS unscored,
    avg(s.value) AS mean,
    stddevSamp(s.value) AS deviation,
    countIf(s.value < %(bound)s) AS below
FROM (SELECT * FROM scores FINAL WHERE project_id = %(project_id)s AND {where}) AS s
GROUP BY group_key
ORDER BY group_key
LIMIT 2000
{settings}
"""

# What `SCORE_STATS` says for several groups, of one reading.
SCORE_SUMMARY = """
SELECT
    grouping(bucket) = 0 AS is_bucket,
    grouping(s.release) = 0 AS is_release,
    grouping(s.model) = 0 AS is_model,
    bucket,
    s.release AS release,
    s.model AS model,
    countIf(s.value IS NOT NULL) AS scored,
    countIf(s.kind = 'label') AS labelled,
    countIf(s.kind = 'unscored') AS unscored,
    avg(s.value) AS mean,
    stddevSamp(s.value) AS deviation,
    countIf(s.value < %(bound)s) AS below
FROM (
    SELECT intDiv(toUnixTimestamp(time), %(step)s) * %(step)s AS bucket, release, model, value, kind
    FROM scores FINAL
    WHERE project_id = %(project_id)s AND {where}
) AS s
GROUP BY GROUPING SETS ((bucket), (s.release), (s.model), ())
ORDER BY bucket, release, model
LIMIT 5000
{settings}
"""

SCORE_EXTREMES = """
SELECT min(value) AS low, max(value) AS high
FROM scores FINAL
WHERE project_id = %(project_id)s AND value IS NOT NULL AND {where}
{settings}
"""

SCORE_BINS = """
SELECT least(toInt64(floor((value - %(low)s) / %(width)s)), %(bins)s - 1) AS bin, count() AS values
FROM scores FINAL
WHERE project_id = %(project_id)s AND value IS NOT NULL AND {where}
GROUP BY bin
ORDER BY bin
{settings}
"""

WORST_SCORES = """
SELECT {columns}
FROM scores FINAL
WHERE project_id = %(project_id)s AND value IS NOT NULL AND {where}
ORDER BY value {direction}, time DESC, score_id
LIMIT %(limit)s
{settings}
"""

JUDGED_TEXTS = """
SELECT trace_id, span_id, name, input_preview, output_preview
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN %(minutes)s
    AND trace_id IN %(trace_ids)s AND span_id IN %(span_ids)s
LIMIT %(limit)s
"""

JUDGED = """
SELECT DISTINCT trace_id, span_id
FROM scores
WHERE project_id = %(project_id)s AND name = %(name)s AND trace_id IN %(trace_ids)s AND source = 'evaluator'
"""

# A score that is written again must keep its time, which is part of its key, also where its span has come since.
EXISTING_TIMES = """
SELECT name, trace_id, span_id, score_id, toUnixTimestamp64Nano(min(time)) AS time_ns
FROM scores
WHERE project_id = %(project_id)s AND name IN %(names)s AND trace_id IN %(trace_ids)s AND score_id IN %(score_ids)s
GROUP BY name, trace_id, span_id, score_id
"""

JUDGED_SPANS = """
SELECT trace_id, span_id, toUnixTimestamp64Nano(start_time) AS time_ns, service, release, model
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN (
        SELECT arrayJoin(minutes) FROM traces WHERE project_id = %(project_id)s AND trace_id IN %(trace_ids)s
    )
    AND trace_id IN %(trace_ids)s AND span_id IN %(span_ids)s
"""
