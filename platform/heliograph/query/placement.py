"""Where spans ran: engine, process and GPUs, with the strength of the join (the rules stand in `placing`).

- `of_span(project_id, trace_id, span_id) -> Placement | None`
- `of_trace(project_id, trace_id) -> dict[str, Placement]`: of its model calls, by span id
- `places(project_id, trace_id) -> list[Place]`, `processes(project_id, start_ns, end_ns) -> list[GpuProcess]`
"""

from collections.abc import Mapping, Sequence
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.placing import SLACK_NS, GpuProcess, Place, Placement, place

# As many spans as a waterfall draws.
MAX_SPANS = 2_000
# A trace's model calls that an answer places; the rest are placed one by one on demand.
MAX_PLACED = 200
# A thousand hosts with eight GPUs of one engine; more than this in two minutes is not one project's fleet.
MAX_PROCESSES = 10_000
MODEL_KINDS = ("llm", "embedding", "reranker")
_WEEK_NS = 7 * 86_400 * 10**9

PLACE_COLUMNS = """
    trace_id, span_id, parent_span_id, toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns, kind, span_kind,
    service, service_instance_id, host, host_id, process_id, resource['container.id'] AS container,
    resource['k8s.pod.uid'] AS pod, server_address, server_port, gpu_uuids"""

PLACES = """
SELECT {columns}
FROM spans
WHERE project_id = %(project_id)s
    AND toStartOfMinute(start_time) IN (
        SELECT arrayJoin(minutes) FROM traces WHERE project_id = %(project_id)s AND trace_id = %(trace_id)s
    )
    AND trace_id = %(trace_id)s
ORDER BY start_time, span_id
LIMIT %(limit)s
"""

PROCESSES = """
SELECT
    host, gpu_uuid, toUnixTimestamp64Nano(min(p.first_seen)) AS first_ns,
    toUnixTimestamp64Nano(max(p.last_seen)) AS last_ns, anyLast(p.attributes) AS attributes,
    anyLast(p.host_id) AS host_id, anyLast(p.gpu_index) AS gpu_index, anyLast(p.gpu_name) AS gpu_name
FROM gpu_processes AS p
WHERE p.project_id = %(project_id)s
    AND p.week >= fromUnixTimestamp64Nano(%(first_week_ns)s, 'UTC')
    AND p.week <= fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
    AND (%(gpu_uuid)s = '' OR gpu_uuid = %(gpu_uuid)s)
GROUP BY host, gpu_uuid, series
HAVING max(p.last_seen) >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')
    AND min(p.first_seen) <= fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
ORDER BY host, gpu_uuid, last_ns DESC
LIMIT %(limit)s
"""


def of_span(project_id: int, trace_id: str, span_id: str) -> Placement | None:
    """Return where one span ran, or None where the project has no such span among its trace's first MAX_SPANS."""
    spans = places(project_id, trace_id)
    span = next((each for each in spans if each.span_id == span_id), None)
    if span is None:
        return None
    return place(span, by_parent(spans), processes(project_id, span.start_ns, span.end_ns))


def of_trace(project_id: int, trace_id: str) -> dict[str, Placement]:
    """Return where the first MAX_PLACED model calls of a trace ran, by span id."""
    spans = places(project_id, trace_id)
    calls = [each for each in spans if each.kind in MODEL_KINDS][:MAX_PLACED]
    if not calls:
        return {}
    found = processes(project_id, min(each.start_ns for each in calls), max(each.end_ns for each in calls))
    below = by_parent(spans)
    return {each.span_id: place(each, below, found) for each in calls}


def places(project_id: int, trace_id: str) -> list[Place]:
    """Return what the spans of a trace say about where they ran, earliest first, MAX_SPANS at most."""
    parameters = {"trace_id": trace_id, "limit": MAX_SPANS}
    sql = PLACES.replace("{columns}", PLACE_COLUMNS)
    return [place_of(row) for row in client.query(project_id, sql, parameters, tag="placement.spans")]


def place_of(row: Mapping[str, Any]) -> Place:
    """Return a row of PLACE_COLUMNS as a Place; other columns are passed over."""
    fields = {name: row[name] for name in Place.__dataclass_fields__}
    return Place(**(fields | {"gpu_uuids": tuple(row["gpu_uuids"])}))


def by_parent(spans: Sequence[Place]) -> dict[str, list[Place]]:
    """Return the spans by their parent's id."""
    found: dict[str, list[Place]] = {}
    for each in spans:
        if each.parent_span_id:
            found.setdefault(each.parent_span_id, []).append(each)
    return found


def processes(project_id: int, start_ns: int, end_ns: int, *, gpu_uuid: str = "") -> list[GpuProcess]:
    """Return the processes that held a GPU (or the one given) from `start_ns` to `end_ns`, a minute on both sides."""
    rows = client.query(
        project_id,
        PROCESSES,
        {
            "start_ns": start_ns - SLACK_NS,
            "end_ns": end_ns + SLACK_NS,
            "first_week_ns": max(0, start_ns - SLACK_NS - _WEEK_NS),
            "gpu_uuid": gpu_uuid,
            "limit": MAX_PROCESSES,
        },
        tag="placement.processes",
    )
    found = (_process(row) for row in rows)
    return [each for each in found if each is not None]


def _process(row: Mapping[str, Any]) -> GpuProcess | None:
    attributes = row["attributes"]
    pid = attributes.get("process.pid", "")
    if not pid.isdecimal():
        return None
    return GpuProcess(
        host=row["host"],
        host_id=row["host_id"],
        gpu_uuid=row["gpu_uuid"],
        gpu_index=row["gpu_index"],
        gpu_name=row["gpu_name"],
        pid=int(pid),
        created=attributes.get("process.creation.time", ""),
        executable=attributes.get("process.executable.name", ""),
        container=attributes.get("container.id", ""),
        pod=attributes.get("k8s.pod.uid", ""),
        parents=tuple(int(text) for text in _list(attributes, "gpu.process.parent_pids") if text.isdecimal()),
        listen=_list(attributes, "gpu.process.listen"),
        addresses=_list(attributes, "gpu.process.addresses"),
        first_ns=row["first_ns"],
        last_ns=row["last_ns"],
    )


def _list(attributes: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(text for text in attributes.get(name, "").split(",") if text)
