"""The engine that served a call, among those that report metrics, and what it reported meanwhile.

- `serving_engine(found, placement, processes, ...) -> Match`: which instance is the one that served, and how known
- `around(project_id, instance, start_ns, end_ns) -> tuple[EngineEvidence, list[str]]`: evidence and what is missing

An instance is taken where its service and instance id are the span's, where its address is a socket of the process
that served, or where it is the only one of that service or host. Of two that fit none is chosen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from heliograph.query import serving
from heliograph.query.filters import InvalidFilterError, TimeRange, from_ns
from heliograph.query.placing import GpuProcess, Placement
from heliograph.query.serving import EngineInstance, InstanceMetrics
from heliograph.query.verdicts import EngineEvidence

# Engines are scraped each 15 s unless told otherwise: a call of a second then has a sample on both sides.
MARGIN = timedelta(seconds=15)
HOUR = timedelta(hours=1)
# Of a longer call the first day is looked at.
LONGEST = timedelta(days=1)
EVIDENCE = ("kv_usage", "waiting", "running", "preemptions")
_SPOKEN = {
    "kv_usage": "how full its KV cache was",
    "waiting": "how many requests waited",
    "running": "how many requests ran",
    "preemptions": "whether it preempted requests",
}


@dataclass(frozen=True, slots=True)
class Match:
    """The instance, or None; `reason` says in words how it is known, or why it is not."""

    instance: EngineInstance | None
    reason: str


def serving_engine(
    found: Sequence[EngineInstance],
    placement: Placement,
    processes: Sequence[GpuProcess],
    *,
    service: str,
    instance: str,
) -> Match:
    """Return the instance whose metrics speak of the call's engine.

    `service` and `instance` are those that the span of the engine itself states; '' where it states none.
    """
    if not found:
        return Match(None, "No serving engine sent metrics at that time.")
    sockets = _sockets(placement, processes)
    host = placement.engine.host.lower() if placement.engine else ""
    ways: tuple[tuple[str, Callable[[EngineInstance], bool]], ...] = (
        ("by its instance id", lambda each: bool(instance) and (each.service, each.instance) == (service, instance)),
        ("by its socket", lambda each: each.instance.lower() in sockets),
        ("as the only one of its service on its host", lambda each: _is_at(each, service, host)),
        ("as the only one of its service", lambda each: bool(service) and each.service == service),
        ("as the only one on its host", lambda each: bool(host) and each.host.lower() == host),
    )
    for how, fits in ways:
        fitting = [each for each in found if fits(each)]
        if len(fitting) == 1:
            return Match(fitting[0], f"{_name(fitting[0])}, told {how}.")
        if len(fitting) > 1:
            listed = "; ".join(_name(each) for each in fitting[:5])
            return Match(None, f"{len(fitting)} engines that send metrics fit, so none is chosen: {listed}.")
    return Match(None, "None of the engines that sent metrics can be told to be the one that served this call.")


def instances(project_id: int, start_ns: int, end_ns: int, *, service: str) -> tuple[list[EngineInstance], str]:
    """Return the engines that reported around a time, and why there are none where the question is too wide."""
    span = window(start_ns, end_ns)
    try:
        return serving.instances(project_id, span), ""
    except InvalidFilterError:
        # More engines than one answer names: those of the span's service are looked at.
        pass
    try:
        return serving.instances(project_id, span, service=service), ""
    except InvalidFilterError:
        return [], f"More than {serving.MAX_INSTANCES} engines of service {service} sent metrics."


def around(project_id: int, instance: EngineInstance, start_ns: int, end_ns: int) -> tuple[EngineEvidence, list[str]]:
    """Return the engine's highest readings around a call, and a sentence for each that is not there."""
    span = window(start_ns, end_ns)
    # As fine as the samples are; a day has as many steps as an answer may.
    step = max(1, -(-int(span.seconds + 1) // serving.MAX_STEPS))
    levels = _of(project_id, instance, span, step, ("kv_usage", "waiting", "running"))
    whole = _of(project_id, instance, span, None, ("preemptions",))
    before = _of(project_id, instance, TimeRange(span.start - HOUR, span.start), None, ("running",))
    missing = []
    highest: dict[str, float | None] = {}
    for name in EVIDENCE:
        metrics = whole if name == "preemptions" else levels
        series = metrics.of(name) if metrics else None
        values = [each.value for each in series.readings if each.value is not None] if series else []
        highest[name] = max(values, default=None)
        if not values:
            why = (series.reason or next((r.reason for r in series.readings), "")) if series else ""
            missing.append(f"{instance.title} did not tell {_SPOKEN[name]}: {(why or serving.NO_SAMPLES).rstrip('.')}.")
    rate = highest["preemptions"]
    usual = before.of("running").readings if before else ()
    return (
        EngineEvidence(
            kv_usage=highest["kv_usage"],
            waiting=highest["waiting"],
            running=highest["running"],
            usual_running=usual[0].value if usual else None,
            # A rate over the whole window times its length is what was counted in it.
            preemptions=None if rate is None else round(rate * span.seconds, 3),
        ),
        missing,
    )


def window(start_ns: int, end_ns: int) -> TimeRange:
    """Return the time around a call in which an engine's samples speak of it."""
    start = from_ns(start_ns)
    end = min(max(from_ns(end_ns), start + timedelta(microseconds=1)), start + LONGEST)
    return TimeRange(start, end).widened(MARGIN)


def _of(
    project_id: int, instance: EngineInstance, span: TimeRange, step: int | None, metrics: Sequence[str]
) -> InstanceMetrics | None:
    found = serving.canonical(
        project_id, span, step_s=step, metrics=metrics, service=instance.service, engine=instance.engine
    )
    return next((each for each in found if each.instance.key == instance.key), None)


def _sockets(placement: Placement, processes: Sequence[GpuProcess]) -> set[str]:
    """The addresses, with ports, at which the engine's processes answer, in lower case."""
    if placement.engine is None:
        return set()
    engine = placement.engine
    found = set()
    for each in processes:
        if each.host != engine.host or each.pid not in engine.pids:
            continue
        ports = {socket.rpartition(":")[2] for socket in each.listen}
        names = {each.host.lower(), *each.addresses}
        found |= {f"{name}:{port}" for name in names for port in ports} | set(each.listen)
    # The wildcard is no address of one host, and every host has a loopback.
    return {each for each in found if not each.startswith(("0.0.0.0:", ":::", "[::]:", "127.", "localhost"))}


def _is_at(each: EngineInstance, service: str, host: str) -> bool:
    return bool(service and host) and each.service == service and each.host.lower() == host


def _name(each: EngineInstance) -> str:
    place = each.instance or each.host
    return f"{each.title}{f' {each.version}' if each.version else ''} of {each.service or 'an unnamed service'}" + (
        f" at {place}" if place else ""
    )
