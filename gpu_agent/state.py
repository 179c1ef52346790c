"""What the agent remembers of one GPU between samples: counters that must not fall, its health, its XID errors."""

import threading
from collections import Counter

from gpu_agent import metrics as m
from gpu_agent.metrics import Interval, Kind
from gpu_agent.provider import Attributes, Entity, Event, Point, Sample

STATES = ("ok", "degraded", "predicted_failure", "failed")
# XIDs after which a GPU does no more work until it is reset: fallen off the bus, and a contained memory failure.
FATAL_XIDS = frozenset({79, 95})
MAX_XIDS = 128  # codes are below 200 today; more kinds than this are noise
CounterKey = tuple[str, str, Attributes]


class GpuState:
    """The memory of one GPU, kept by UUID through loss and driver reload. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._raw: dict[CounterKey, int | float] = {}
        self._offset: dict[CounterKey, int | float] = {}
        self._resets: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._xids: Counter[int] = Counter()
        self._state = "ok"
        self._fatal = False
        self._lost = False
        self._has_energy_counter = False
        self._joules = 0.0
        self._power: tuple[int, float] | None = None

    def finish(
        self, entity: Entity, sample: Sample, interval: Interval, now_ns: int
    ) -> tuple[list[Point], list[Event]]:
        """The points to send for a sample, and the counter resets seen in it."""
        with self._lock:
            events: list[Event] = []
            points = [
                self._continued(point, events) if point.metric.kind is Kind.COUNTER else point
                for point in sample.points
            ]
            if interval is Interval.FAST:
                points.extend(self._estimated_energy(entity, points, now_ns))
            self._errors.update(sample.errors)
            if interval is Interval.MEDIUM:
                self._state = sample.state
                points.extend(self._own_points(entity))
            return points, events

    def xid(self, entity: Entity, code: int) -> Point:
        """Count an XID error; the GPU has failed after some of them."""
        with self._lock:
            self._fatal = self._fatal or code in FATAL_XIDS
            if code in self._xids or len(self._xids) < MAX_XIDS:
                self._xids[code] += 1
            return Point(entity, m.XID_ERRORS, self._xids[code], (("gpu.xid", code),))

    def set_lost(self, lost: bool) -> bool:
        """Remember whether the GPU is lost; True when that is news."""
        with self._lock:
            news, self._lost = self._lost != lost, lost
            if news and not lost:
                self._fatal = False  # it was reset, or it would not answer
            return news

    def driver_reloaded(self) -> None:
        """A new driver starts every GPU anew."""
        with self._lock:
            self._fatal = False

    def own_points(self, entity: Entity) -> list[Point]:
        """Health and the agent's own counts, for a GPU that can no longer be read."""
        with self._lock:
            return self._own_points(entity)

    def _continued(self, point: Point, events: list[Event]) -> Point:
        """A counter that never falls: where the driver's goes back (a reload), the step is dropped and flagged."""
        key = (point.entity.uuid, point.metric.name, point.attributes)
        previous = self._raw.get(key)
        self._raw[key] = point.value
        if previous is not None and point.value < previous:
            self._offset[key] = self._offset.get(key, 0) + previous
            self._resets[point.metric.name] += 1
            message = f"{point.metric.name} went from {previous} to {point.value}"
            events.append(Event(point.entity, m.RESET, message, (("gpu.metric", point.metric.name), *point.attributes)))
        offset = self._offset.get(key)
        return point if offset is None else point._replace(value=point.value + offset)

    def _estimated_energy(self, entity: Entity, points: list[Point], now_ns: int) -> list[Point]:
        """Power integrated over time (trapezoids), for a GPU that never told an energy counter; the point says so."""
        watts = None
        for point in points:
            if point.entity is entity and point.metric is m.ENERGY:
                self._has_energy_counter = True
            elif point.entity is entity and point.metric is m.POWER:
                watts = float(point.value)
        if self._has_energy_counter or watts is None:
            return []
        if self._power is not None:
            before_ns, before = self._power
            self._joules += (watts + before) / 2 * (now_ns - before_ns) / 1e9
        self._power = (now_ns, watts)
        return [Point(entity, m.ENERGY, self._joules, (("gpu.energy.estimated", "true"),))]

    def _own_points(self, entity: Entity) -> list[Point]:
        state = "failed" if self._lost or self._fatal else self._state
        points = [Point(entity, m.STATUS, int(name == state), (("hw.state", name),)) for name in STATES]
        points += [Point(entity, m.READ_ERRORS, count, (("error.type", name),)) for name, count in self._errors.items()]
        points += [
            Point(entity, m.COUNTER_RESETS, count, (("gpu.metric", name),)) for name, count in self._resets.items()
        ]
        points += [Point(entity, m.XID_ERRORS, count, (("gpu.xid", code),)) for code, count in self._xids.items()]
        return points
