"""Which GPUs an engine that reports metrics computes on, by the rules of `placing`.

- `of_engines(project_id, range, found) -> dict[key, Held]`: by the instance's key

An engine is joined to the processes that the GPU agent saw: by its PID, its container or pod, where its metrics say
them; else by its address, where such a process listens; else, as the only engine of a host on which one engine holds
GPUs, by the host. Where two fit none is chosen. It is joined at each moment at which a process of its host was last
seen, since an engine may have been restarted in the range.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from collectors import serving as table
from heliograph.clickhouse import client
from heliograph.query import placement
from heliograph.query import serving_sql as statements
from heliograph.query.filters import TimeRange, put
from heliograph.query.placing import GpuProcess, Place, PlacedGpu, Placement, living, place
from heliograph.query.serving import EngineInstance, InstanceMetrics

Key = tuple[str, str, str, str]
# Restarts of an engine that are looked at, the latest first: one that restarts more often serves nobody.
MAX_MOMENTS = 20
# Processes of an engine that a range of days may hold.
MAX_PLACES = 5

# Who an instance says that it is.
STATED = """
SELECT service, host, {instance} AS instance,
    groupUniqArray(%(places)s)((
        resource['host.id'], resource['process.pid'], resource['container.id'], resource['k8s.pod.uid'],
        resource['server.address'], resource['server.port']
    )) AS places
FROM metric_points
WHERE project_id = %(project_id)s AND metric IN %(metrics)s
    AND time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
GROUP BY service, host, instance
ORDER BY service, host, instance
LIMIT 1000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The GPUs of an engine, and in words how they are known; without any, why not.

    On `shared` of them processes of others ran too.
    """

    strength: Literal["pid", "container", "socket", "host", "none"]
    reason: str
    gpus: tuple[PlacedGpu, ...] = ()
    shared: int = 0


def of_engines(project_id: int, span: TimeRange, found: Sequence[InstanceMetrics]) -> dict[Key, Held]:
    """Return the GPUs of each engine that `found` is about."""
    if not found:
        return {}
    processes = placement.processes(project_id, span.start_ns, span.end_ns)
    if len(processes) >= placement.MAX_PROCESSES:
        # The last hosts of the alphabet would seem to have none.
        told = f"more than {placement.MAX_PROCESSES:,} processes held GPUs in this time: take a shorter one"
        return {each.instance.key: Held(strength="none", reason=told) for each in found}
    stated = _stated(project_id, span, found)
    engines = Counter(each.instance.host.lower() for each in found)
    return {
        each.instance.key: _held(
            each.instance,
            stated.get(each.instance.key[1:], ()),
            processes,
            span.end_ns,
            engines[each.instance.host.lower()],
        )
        for each in found
    }


def _stated(project_id: int, span: TimeRange, found: Sequence[InstanceMetrics]) -> dict[tuple[str, ...], Any]:
    sources = {source for each in found for series in each.metrics for source in series.sources}
    parameters = {
        "metrics": sorted(spelling for source in sources for spelling in table.spellings(source)),
        "places": MAX_PLACES,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
    }
    sql = put(STATED, instance=statements.INSTANCE)
    rows = client.query(project_id, sql, parameters, tag="engine_gpus.stated")
    return {(row["service"], row["host"], row["instance"]): row["places"] for row in rows}


def _near(instance: EngineInstance, said: Sequence[Place], processes: Sequence[GpuProcess]) -> list[GpuProcess]:
    """The processes that may be the engine's: of its host, else of its container or pod, or at its port."""
    if instance.host:
        return [each for each in processes if each.host.lower() == instance.host.lower()]
    ports = tuple(f":{each.server_port}" for each in said if each.server_port)
    within = {name for each in said for name in (each.container, each.pod) if name}
    return [
        each
        for each in processes
        if not within.isdisjoint((each.container, each.pod)) or any(one.endswith(ports) for one in each.listen)
    ]


def _held(
    instance: EngineInstance,
    stated: Sequence[Sequence[str]],
    processes: Sequence[GpuProcess],
    end_ns: int,
    engines: int,
) -> Held:
    said = _said(instance, stated)
    near = _near(instance, said, processes)
    if not near:
        where = instance.host or "a host that the engine does not name"
        return Held(strength="none", reason=f"no GPU agent reported a process on {where}")
    moments = sorted({min(each.last_ns, end_ns) for each in near}, reverse=True)[:MAX_MOMENTS]
    for one in said:
        joined = [(at, place(replace(one, start_ns=at), {}, near)) for at in moments]
        proven = [(at, each) for at, each in joined if each.is_proven]
        if proven:
            return _same(proven, near)
    return _by_host(instance, near, moments, engines)


def _said(instance: EngineInstance, stated: Sequence[Sequence[str]]) -> list[Place]:
    """What the engine says of itself, as spans: its processes first, then the addresses that it is called at."""
    processes, addresses = [], []
    for host_id, pid, container, pod, address, port in stated:
        known = {"host_id": host_id, "process_id": int(pid) if pid.isdecimal() else None}
        processes.append(_place(instance, **known, container=container, pod=pod))
        addresses.append((address, port))
    addresses.append(_address(instance.instance))
    calls = [
        _place(instance, server_address=address, server_port=int(port), span_kind="client")
        for address, port in dict.fromkeys(addresses)
        if address and port.isdecimal() and len(port) < 6
    ]
    return [*processes, *calls]


def _address(instance: str) -> tuple[str, str]:
    """The host and port that scrapers give as an instance's id; '' where it is something else."""
    host, _, port = instance.rpartition(":")
    return host.strip("[]"), port


def _place(instance: EngineInstance, **said: Any) -> Place:
    nothing: dict[str, Any] = {
        "trace_id": "",
        "span_id": "",
        "parent_span_id": "",
        "start_ns": 0,
        "duration_ns": 0,
        "kind": "",
        "span_kind": "server",
        "service": instance.service,
        "service_instance_id": instance.instance,
        "host": instance.host,
        "host_id": "",
        "process_id": None,
        "container": "",
        "pod": "",
        "server_address": "",
        "server_port": None,
        "gpu_uuids": (),
    }
    return Place(**(nothing | said))


def _same(proven: Sequence[tuple[int, Placement]], near: Sequence[GpuProcess]) -> Held:
    """The latest placement, unless the GPUs were others before: rates of the whole range are of neither."""
    at, latest = proven[0]
    if len({tuple(gpu.uuid for gpu in each.gpus) for _, each in proven}) > 1:
        return Held(strength="none", reason="its GPUs changed in this time: take a shorter one")
    own = latest.engine.pids if latest.engine else ()
    uuids = {gpu.uuid for gpu in latest.gpus}
    others = {
        each.gpu_uuid
        for each in living(at, at, near)
        if each.gpu_uuid in uuids and (each.host != latest.gpus[0].host or each.pid not in own)
    }
    strength = latest.strength
    assert strength in ("pid", "container", "socket")  # it is proven, and no GPU was named
    return Held(strength=strength, reason=latest.reason, gpus=latest.gpus, shared=len(others))


def _by_host(instance: EngineInstance, near: Sequence[GpuProcess], moments: Sequence[int], engines: int) -> Held:
    if not instance.host:
        return Held(strength="none", reason="it names neither process nor host, and nothing listens where it is")
    if engines > 1:
        told = f"{engines} engines report from {instance.host}; neither process nor address tells whose GPUs are whose"
        return Held(strength="none", reason=told)
    here = [place(replace(_place(instance), start_ns=at), {}, near) for at in moments]
    most = max((len(each.candidates) for each in here), default=0)
    if most > 1:
        told = f"{most} programs hold GPUs of {instance.host}, and neither process nor address says which is the engine"
        return Held(strength="none", reason=told)
    if len({tuple(gpu.uuid for gpu in each.gpus) for each in here}) > 1:
        return Held(strength="none", reason="its GPUs changed in this time: take a shorter one")
    return Held(strength="host", reason=here[0].reason, gpus=here[0].gpus)
