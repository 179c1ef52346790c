"""Windows over the 1-minute rollup of GPUs, and over their XID errors.

Counters (time held back, errors of the memory) count by their rise from one minute to the next; one that fell was reset
and shows what was counted since, as on the pages of GPUs.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.filters import put
from heliograph.query.gpu_problems import FATAL_ERRORS, HARDWARE, HEAT
from heliograph.query.windows.question import MAX_ROWS, Labels, Question, Shape, check_rows, ends_of

COLUMNS = {"host": "toString(host)", "gpu": "toString(gpu_uuid)", "xid": "attributes['gpu.xid']"}
# A counter is compared with its last value of so many minutes before the window.
_LOOK_BACK = 5

WINDOWS = """
SELECT labels, end, sum(u_sum) / nullIf(sum(u_count), 0) AS utilization, sum(p_sum) / nullIf(sum(p_count), 0) AS power,
    max(used) AS memory, max(warmest) AS temperature, sum(ecc_rose) AS ecc,
    max(is_lost) AS lost, sumMap(held_by) AS held
FROM (
    SELECT labels, m, u_sum, u_count, p_sum, p_count, m_used / nullIf(m_limit, 0) AS used, warmest, is_lost,
        map(gpu, held_rise) AS held_by, ecc_rise AS ecc_rose
    FROM (
        SELECT *,
            if(seen = 1, 0, arrayMax(arrayMap((now_s, then_s) -> if(now_s >= then_s, now_s - then_s, now_s),
                held, before_held))) AS held_rise,
            if(seen = 1, 0, if(ecc >= before_ecc, ecc - before_ecc, ecc)) AS ecc_rise
        FROM (
            SELECT *, lagInFrame(held) OVER w AS before_held, lagInFrame(ecc) OVER w AS before_ecc,
                row_number() OVER w AS seen
            FROM (
                SELECT [{labels}]::Array(String) AS labels, toString(gpu_uuid) AS gpu, host,
                    intDiv(toUnixTimestamp(minute), 60) AS m,
                    sum(r.utilization_sum) AS u_sum, sum(r.utilization_count) AS u_count,
                    sum(r.power_sum) AS p_sum, sum(r.power_count) AS p_count,
                    max(r.memory_used) AS m_used, max(r.memory_limit) AS m_limit, max(r.temperature) AS warmest,
                    maxMap(r.counters) AS ended, maxMap(r.states) AS was,
                    arrayMap(k -> ended[k], %(held_back)s::Array(String)) AS held,
                    arraySum(arrayMap(k -> ended[k], %(fatal)s::Array(String))) AS ecc,
                    was['failed'] > 0 OR was['stuck'] > 0 AS is_lost
                FROM gpu_rollups_1m AS r
                WHERE project_id = %(project_id)s AND {rows} AND {where}
                GROUP BY labels, gpu, host, m
            )
            WINDOW w AS (PARTITION BY host, gpu ORDER BY m ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
        )
    )
)
ARRAY JOIN {join} AS end
WHERE {chosen}
GROUP BY labels, end
LIMIT %(limit)s
"""

XIDS = """
SELECT labels, end, sum(times) AS times
FROM (
    SELECT [{labels}]::Array(String) AS labels, intDiv(toUnixTimestamp(toDateTime(time)), 60) AS m,
        uniqExact(record_id) AS times
    FROM gpu_events
    WHERE project_id = %(project_id)s AND event_name = 'gpu.xid' AND {rows} AND {where}
    GROUP BY labels, m
)
ARRAY JOIN {join} AS end
WHERE {chosen}
GROUP BY labels, end
LIMIT %(limit)s
"""
Found = Mapping[tuple[str, str, float | None], Mapping[Labels, Mapping[int, float]]]


def answer(project_id: int, shape: Shape, questions: Collection[Question], wanted: Collection[int]) -> Found:
    """Return the measures of all groups of a shape; of several GPUs, the worst one's."""
    parameters = {
        "held_back": [f"throttle:{reason}" for reason in (*HEAT, *HARDWARE)],
        "fatal": [f"error:{kind}" for kind in FATAL_ERRORS],
    }
    rows = _ask(project_id, WINDOWS, shape, questions, wanted, "minute", parameters)
    return _read(rows, {question.measure for question in questions}, shape.window)


def answer_xids(project_id: int, shape: Shape, questions: Collection[Question], wanted: Collection[int]) -> Found:
    """Return how many XID errors each group had."""
    return _read(_ask(project_id, XIDS, shape, questions, wanted, "time", {}), {"gpu_xid"}, shape.window)


def _ask(
    project_id: int,
    statement: str,
    shape: Shape,
    questions: Collection[Question],
    wanted: Collection[int],
    time: str,
    parameters: Mapping[str, object],
) -> list[dict[str, Any]]:
    ends = ends_of(shape.window, wanted)
    where, narrowed = shape.narrowed(questions, COLUMNS)
    sql = put(
        statement,
        labels=", ".join(COLUMNS[name] for name in shape.dimensions),
        rows=ends.rows(time, before=_LOOK_BACK if time == "minute" else 0),
        join=ends.join("m"),
        chosen=ends.chosen(),
        where=where,
    )
    rows = client.query(project_id, sql, {**parameters, **narrowed, "limit": MAX_ROWS + 1}, tag="windows.gpus")
    check_rows(len(rows))
    return rows


def _read(rows: list[dict[str, Any]], measures: Collection[str], window: int) -> Found:
    found: dict[tuple[str, str, float | None], defaultdict[Labels, dict[int, float]]] = {
        (measure, "", None): defaultdict(dict) for measure in measures
    }
    for row in rows:
        for measure in measures:
            value = _VALUES[measure](row, window)
            if value is not None:
                found[measure, "", None][tuple(row["labels"])][row["end"]] = float(value)
    return found


_VALUES: Mapping[str, Callable[[dict[str, Any], int], float | None]] = {
    "gpu_utilization": lambda row, _: row["utilization"],
    "gpu_temperature": lambda row, _: row["temperature"],
    "gpu_power": lambda row, _: row["power"],
    "gpu_memory": lambda row, _: row["memory"],
    "gpu_throttled": lambda row, window: min(1.0, max(row["held"].values(), default=0.0) / (window * 60)),
    "gpu_ecc": lambda row, _: row["ecc"],
    "gpu_lost": lambda row, _: row["lost"],
    "gpu_xid": lambda row, _: row["times"],
}
