"""What the GPUs of a call did meanwhile, as evidence for a verdict.

- `around(project_id, gpus, start_ns, end_ns) -> tuple[list[GpuEvidence], list[str]]`: evidence and what is missing

Throttling is read from cumulative counters, so that a burst between two readings is not missed: every interval of the
counter that touches the call counts, and `seconds` is how long these are together.
"""

from collections.abc import Sequence
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.placing import PlacedGpu
from heliograph.query.verdicts import GpuEvidence

THROTTLE_TIME, CLOCK, UTILIZATION = "gpu.throttle.time", "gpu.clock.frequency", "hw.gpu.utilization"
# Foreign agents read once a minute: the readings before and after a call lie within this of it.
READING_NS = 90 * 10**9
HOUR_NS = 3_600 * 10**9
# A GPU that idles lets its clock fall: such moments say nothing about the clock that it keeps at work.
BUSY = 0.05
# The GPUs of one engine.
MAX_GPUS = 64

HELD_BACK = """
SELECT gpu_uuid, reason, sum(if(value >= before, value - before, value)) AS held_s,
    (toUnixTimestamp64Nano(max(time)) - toUnixTimestamp64Nano(min(assumeNotNull(time_before)))) / 1e9 AS seconds
FROM (
    SELECT gpu_uuid, attributes['gpu.throttle.reason'] AS reason, time, value,
        lagInFrame(toNullable(value)) OVER w AS before, lagInFrame(toNullable(time)) OVER w AS time_before
    FROM metric_points FINAL
    WHERE project_id = %(project_id)s AND metric = %(metric)s AND gpu_uuid IN %(gpus)s AND value IS NOT NULL
        AND time >= fromUnixTimestamp64Nano(%(from_ns)s, 'UTC') AND time < fromUnixTimestamp64Nano(%(until_ns)s, 'UTC')
    WINDOW w AS (PARTITION BY series ORDER BY time ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE before IS NOT NULL AND time > fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')
    AND time_before < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
GROUP BY gpu_uuid, reason
"""

# The SM clock, where there is none the graphics clock: its mean during the call, and its median at work in the hour
# before. Clock and utilisation are joined by the second in which they were read.
CLOCKS = """
SELECT gpu_uuid, kind, avgIf(clock, during) AS clock_hz, countIf(during) AS readings,
    medianExactIf(clock, NOT during AND (busy IS NULL OR busy >= %(busy)s)) AS usual_hz,
    countIf(NOT during AND (busy IS NULL OR busy >= %(busy)s)) AS usual_readings
FROM (
    SELECT gpu_uuid, kind, second, avg(value) AS clock,
        max(time) > fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AS during
    FROM (
        SELECT gpu_uuid, attributes['gpu.clock.type'] AS kind, time, value, toUnixTimestamp(time) AS second
        FROM metric_points FINAL
        WHERE project_id = %(project_id)s AND metric = %(metric)s AND gpu_uuid IN %(gpus)s AND value IS NOT NULL
            AND attributes['gpu.clock.type'] IN ('sm', 'graphics', '')
            AND time >= fromUnixTimestamp64Nano(%(hour_ns)s, 'UTC')
            AND time <= fromUnixTimestamp64Nano(%(last_ns)s, 'UTC')
    )
    GROUP BY gpu_uuid, kind, second
) AS clocks
LEFT JOIN (
    SELECT gpu_uuid, toUnixTimestamp(time) AS second, toNullable(max(value)) AS busy
    FROM metric_points
    WHERE project_id = %(project_id)s AND metric = %(utilization)s AND gpu_uuid IN %(gpus)s AND value IS NOT NULL
        AND attributes['hw.gpu.task'] IN ('', 'general')
        AND time >= fromUnixTimestamp64Nano(%(hour_ns)s, 'UTC') AND time <= fromUnixTimestamp64Nano(%(last_ns)s, 'UTC')
    GROUP BY gpu_uuid, second
) AS used USING (gpu_uuid, second)
GROUP BY gpu_uuid, kind
ORDER BY gpu_uuid, kind = 'sm', kind = ''
"""


def around(
    project_id: int, gpus: Sequence[PlacedGpu], start_ns: int, end_ns: int
) -> tuple[list[GpuEvidence], list[str]]:
    """Return what is known of each GPU, and a sentence for each thing that is not.

    The GPUs are MAX_GPUS at most. One without counters has `seconds` None, one without a clock `clock_hz` None.
    """
    gpus = gpus[:MAX_GPUS]
    if not gpus:
        return [], []
    asked = {"gpus": [gpu.uuid for gpu in gpus], "start_ns": start_ns, "end_ns": end_ns}
    held: dict[str, list[dict[str, Any]]] = {}
    margins = {"from_ns": start_ns - READING_NS, "until_ns": end_ns + READING_NS, "metric": THROTTLE_TIME}
    for row in client.query(project_id, HELD_BACK, asked | margins, tag="hardware.held_back"):
        held.setdefault(row["gpu_uuid"], []).append(row)
    clocks = _clocks(project_id, asked, start_ns, end_ns)
    found, missing = [], []
    for gpu in gpus:
        rows, clock = held.get(gpu.uuid, []), clocks.get(gpu.uuid, {})
        if not rows:
            missing.append(f"{gpu.label} sent no throttle counters around the call.")
        if not clock.get("readings"):
            missing.append(f"{gpu.label} sent no clock during the call.")
        elif not clock["usual_readings"]:
            missing.append(f"{gpu.label} sent no clock at work in the hour before.")
        found.append(
            GpuEvidence(
                label=gpu.label,
                seconds=max((row["seconds"] for row in rows), default=None),
                throttled_s={row["reason"]: row["held_s"] for row in rows},
                clock_hz=clock["clock_hz"] if clock.get("readings") else None,
                usual_clock_hz=clock["usual_hz"] if clock.get("usual_readings") else None,
            )
        )
    return found, missing


def _clocks(project_id: int, asked: dict[str, Any], start_ns: int, end_ns: int) -> dict[str, dict[str, Any]]:
    """The clocks by UUID; of several kinds the SM's."""
    parameters = asked | {
        "metric": CLOCK,
        "utilization": UTILIZATION,
        "busy": BUSY,
        "hour_ns": start_ns - HOUR_NS,
        # A call shorter than the agent's interval is judged by the reading after it.
        "last_ns": max(end_ns, start_ns + 10 * 10**9),
    }
    rows = client.query(project_id, CLOCKS, parameters, tag="hardware.clocks")
    return {row["gpu_uuid"]: row for row in rows}
