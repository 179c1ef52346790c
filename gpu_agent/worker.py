"""One thread for each GPU: reads its interval classes on time, and blocks alone when its GPU's driver call blocks."""

import logging
import threading
import time
from typing import Protocol

from gpu_agent import metrics as m
from gpu_agent.metrics import Interval
from gpu_agent.otlp import Stamped, StampedEvent
from gpu_agent.provider import Device, DeviceLost, Event, Point, ProviderLost
from gpu_agent.state import GpuState

log = logging.getLogger("gpu_agent")

MAX_WAITING_EVENTS = 1000  # events between two exports; a storm is cut, its counters are not
INTERVAL_NAMES = {Interval.FAST: "fast", Interval.MEDIUM: "medium", Interval.SLOW: "slow"}


class Outbox:
    """What was sampled since the last export, from all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: list[Stamped] = []
        self._events: list[StampedEvent] = []

    def points(self, time_ns: int, points: list[Point]) -> None:
        with self._lock:
            self._samples.append(Stamped(time_ns, points))

    def event(self, event: Event) -> None:
        log.log(logging.WARNING if event.kind in (m.XID, m.LOST, m.IS_STUCK) else logging.INFO, "%s", event.message)
        with self._lock:
            if len(self._events) < MAX_WAITING_EVENTS:
                self._events.append(StampedEvent(time.time_ns(), event))

    def take(self) -> tuple[list[Stamped], list[StampedEvent]]:
        with self._lock:
            taken = self._samples, self._events
            self._samples, self._events = [], []
            return taken


class Owner(Protocol):
    """What a worker tells its results and its end to."""

    @property
    def interval_s(self) -> float:
        """Seconds between fast readings."""

    @property
    def outbox(self) -> Outbox: ...

    def device_lost(self, worker: "Worker", error: DeviceLost) -> None: ...

    def provider_lost(self, error: ProviderLost) -> None: ...


class Worker:
    """Reads one GPU in its own thread until it is lost or retired."""

    def __init__(self, device: Device, state: GpuState, owner: Owner, phase_s: float) -> None:
        """`phase_s` delays all its readings, so that the workers do not contend for driver and interpreter."""
        self.device = device
        self.state = state
        self.reading_since: float | None = None  # while a read runs; the watchdog looks at it
        self.told_stuck = False
        self._owner = owner
        self._phase_s = phase_s
        self._retired = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"gpu-{device.entity.uuid}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def retire(self, timeout_s: float) -> bool:
        """Ask it to end; False when it is stuck in a call, whose result will then be thrown away."""
        self._retired.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stuck_for(self, now: float) -> float:
        since = self.reading_since
        return now - since if since is not None else 0.0

    def _run(self) -> None:
        start = time.monotonic() + self._phase_s
        self._retired.wait(self._phase_s)
        due = dict.fromkeys((Interval.SLOW, Interval.MEDIUM, Interval.FAST), start)
        try:
            while not self._retired.is_set():
                for interval, at in due.items():
                    now = time.monotonic()
                    if at <= now and not self._retired.is_set():
                        self._read(interval)
                        period = self._owner.interval_s * interval.value
                        due[interval] = start + period * (
                            int((now - start) / period) + 1
                        )  # missed times are not made up
                self._retired.wait(max(0.0, min(due.values()) - time.monotonic()))
        except DeviceLost as error:
            if not self._retired.is_set():
                self._owner.device_lost(self, error)
        except ProviderLost as error:
            if not self._retired.is_set():
                self._owner.provider_lost(error)

    def _read(self, interval: Interval) -> None:
        began = self.reading_since = time.monotonic()
        try:
            sample = self.device.read(interval)
        finally:
            self.reading_since = None
        if self._retired.is_set():
            return
        duration = time.monotonic() - began
        now_ns = time.time_ns()
        entity = self.device.entity
        points, events = self.state.finish(entity, sample, interval, now_ns)
        points.append(Point(entity, m.SAMPLE_DURATION, duration, (("gpu.agent.interval", INTERVAL_NAMES[interval]),)))
        if interval is Interval.FAST:
            points.append(Point(entity, m.STUCK, 0))
            self.told_stuck = False
            if self.state.set_lost(False):
                self._owner.outbox.event(Event(entity, m.FOUND, f"GPU {entity.uuid} answers again"))
        self._owner.outbox.points(now_ns, points)
        for event in events:
            self._owner.outbox.event(event)
