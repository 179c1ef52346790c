"""The agent: one thread for each GPU, a watchdog, and a thread that follows GPUs as they come and go.

inventory   opens the provider, starts a worker for each GPU, opens again after a driver reload
worker      one for each GPU: reads its interval classes on time; blocks alone when its GPU's driver call blocks
events      waits for XID errors
main        every interval: looks for stuck workers; every export interval: encodes and queues what came in
"""

import logging
import threading
import time
from dataclasses import dataclass

from gpu_agent import metrics as m
from gpu_agent.export import LOGS_PATH, METRICS_PATH, Exporter
from gpu_agent.metrics import Interval
from gpu_agent.otlp import Encoder
from gpu_agent.provider import (
    DeviceLost,
    Entity,
    Event,
    Outdated,
    Point,
    Provider,
    ProviderLost,
    Unavailable,
)
from gpu_agent.state import GpuState
from gpu_agent.worker import Outbox, Worker

log = logging.getLogger("gpu_agent")

EXIT_OK, EXIT_FAILED, EXIT_UNAVAILABLE, EXIT_OUTDATED = 0, 1, 3, 4
EVENT_WAIT_S = 0.5
PHASE_S, MAX_PHASE_S = 0.002, 0.05  # a read takes less than a millisecond; readings of one tick stay close together
STOP_TIMEOUT_S = 2.0
REOPEN_PAUSE_S = 1.0  # a driver that opens and fails at once must not keep a core busy


@dataclass(frozen=True, slots=True)
class Settings:
    """`interval_s` is the fast class; the others are its multiples. A call longer than `stuck_after_s` is reported."""

    interval_s: float = 1.0
    export_interval_s: float = 5.0
    wait: bool = False
    flush_timeout_s: float = 5.0

    @property
    def stuck_after_s(self) -> float:
        return max(3 * self.interval_s, 0.5)

    @property
    def medium_s(self) -> float:
        return self.interval_s * Interval.MEDIUM.value


class Agent:
    """Samples a provider's GPUs and hands OTLP requests to an exporter, until it is stopped."""

    def __init__(self, provider: Provider, encoder: Encoder, exporter: Exporter, settings: Settings) -> None:
        self.settings = settings
        self.interval_s = settings.interval_s
        self.outbox = Outbox()
        self._provider = provider
        self._encoder = encoder
        self._exporter = exporter
        self._host = Entity("")
        self._states: dict[str, GpuState] = {}
        self._workers: dict[str, Worker] = {}  # changed by the inventory thread only
        self._lost: dict[str, Entity] = {}
        self._opened = False
        self._restarts = 0
        self._exit_code = EXIT_OK
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._reopen: str | None = None  # why the provider has to be opened again

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()
        self._wake.set()

    def run(self) -> int:
        """Run until `stop`; returns the exit code."""
        self._exporter.start()
        inventory = threading.Thread(target=self._inventory, name="inventory", daemon=True)
        inventory.start()
        export_at = medium_at = time.monotonic() + self.settings.export_interval_s
        while not self._stop.wait(self.settings.interval_s):
            now = time.monotonic()
            self._watch(now)
            if now >= medium_at:
                medium_at = now + self.settings.medium_s
                self._report_self()
            if now >= export_at:
                export_at = now + self.settings.export_interval_s
                self._export()
        inventory.join(3 * STOP_TIMEOUT_S)  # it is a daemon: a driver that hangs does not keep the process
        self._report_self()
        self._export()
        if not self._exporter.close(self.settings.flush_timeout_s):
            log.warning("left with unsent data: %s", dict(self._exporter.dropped))
        return self._exit_code

    def device_lost(self, worker: Worker, error: DeviceLost) -> None:
        """A worker ends because its GPU is gone; the inventory looks for it again."""
        entity = worker.device.entity
        self._lost[entity.uuid] = entity
        if worker.state.set_lost(True):
            attributes = (("error.type", type(error).__name__),)
            self.outbox.event(Event(entity, m.LOST, f"GPU {entity.uuid} is lost: {error}", attributes))
            self.outbox.points(time.time_ns(), worker.state.own_points(entity))

    def provider_lost(self, error: ProviderLost) -> None:
        """The driver went away: the inventory opens the provider again."""
        if self._reopen is None:
            log.warning("the driver went away: %s", error)
            self._reopen = str(error)
            self._wake.set()

    def _inventory(self) -> None:
        try:
            self._exit_code = EXIT_FAILED  # unless it ends as it should
            self._exit_code = self._follow()
        finally:
            self.stop()  # without an inventory there is nothing left to do

    def _follow(self) -> int:
        """Keep the provider open and a worker on each GPU; returns the exit code."""
        told = ""
        while not self._stop.is_set():
            try:
                self._provider.open()
            except Unavailable as error:
                if isinstance(error, Outdated):
                    log.error("%s", error)
                    return EXIT_OUTDATED
                if not self.settings.wait and not self._opened:
                    log.error("%s", error)
                    return EXIT_UNAVAILABLE
                if str(error) != told:
                    log.warning("%s; trying again every %g s", error, self.settings.medium_s)
                    told = str(error)
                self._stop.wait(self.settings.medium_s)
                continue
            told, self._opened = "", True
            if self._reopen is not None:
                self._reloaded(self._reopen)
            self._reopen = None
            self._generation()
            self._stop.wait(min(REOPEN_PAUSE_S, self.settings.medium_s))
        return EXIT_OK

    def _reloaded(self, why: str) -> None:
        self._restarts += 1
        for state in self._states.values():
            state.driver_reloaded()
        self.outbox.event(
            Event(None, m.RESTARTED, f"the driver came back after: {why}", (("error.type", "ProviderLost"),))
        )

    def _generation(self) -> None:
        """From one opening of the provider to its closing."""
        over = threading.Event()
        events = threading.Thread(target=self._events, args=(over,), name="events", daemon=True)
        first = True
        while not self._stop.is_set() and self._reopen is None:
            self._wake.clear()
            try:
                self._sync()
                if first and (topology := self._provider.topology()):
                    self.outbox.event(topology)
            except ProviderLost as error:
                self.provider_lost(error)
                break
            if first:
                events.start()
                first = False
            self._wake.wait(self.settings.medium_s)
        over.set()
        for worker in self._workers.values():
            worker.retire(0)
        until = time.monotonic() + STOP_TIMEOUT_S
        ended = [worker.retire(max(0.0, until - time.monotonic())) for worker in self._workers.values()]
        self._workers = {}
        if not first:
            events.join(max(EVENT_WAIT_S, until - time.monotonic()))
        if all(ended) and not events.is_alive():
            self._provider.close()
        else:
            log.warning("a call into the driver does not return; the library is left open")

    def _sync(self) -> None:
        """A worker for each GPU that is there; a GPU that is not counts as lost."""
        devices = {device.entity.uuid: device for device in self._provider.devices()}
        workers = dict(self._workers)
        for uuid, worker in self._workers.items():
            if uuid not in devices and worker.alive:
                worker.retire(0)
                self.device_lost(worker, DeviceLost("the driver no longer lists it"))
        for uuid, device in devices.items():
            if uuid not in workers or not workers[uuid].alive:
                self._lost.pop(uuid, None)
                state = self._states.setdefault(uuid, GpuState())
                phase = min(len(workers) * PHASE_S, MAX_PHASE_S)
                workers[uuid] = Worker(device, state, self, phase)
                workers[uuid].start()
        if devices.keys() != self._workers.keys():
            log.info("%d GPUs", len(devices))
        self._workers = {uuid: worker for uuid, worker in workers.items() if uuid in devices}

    def _events(self, over: threading.Event) -> None:
        while not over.is_set():
            try:
                found = self._provider.events(EVENT_WAIT_S)
            except ProviderLost as error:
                self.provider_lost(error)
                return
            for event in found:
                self._count(event)
                self.outbox.event(event)

    def _count(self, event: Event) -> None:
        """XID errors are a counter too, so that an alert needs no log search."""
        code = dict(event.attributes).get("gpu.xid")
        if event.kind is m.XID and event.entity and isinstance(code, int):
            state = self._states.setdefault(event.entity.uuid, GpuState())
            self.outbox.points(time.time_ns(), [state.xid(event.entity, code), *state.own_points(event.entity)])

    def _watch(self, now: float) -> None:
        """Report each GPU whose read does not return; its points stop, those of the others go on."""
        for worker in list(self._workers.values()):
            if worker.stuck_for(now) < self.settings.stuck_after_s:
                continue
            entity = worker.device.entity
            self.outbox.points(time.time_ns(), [Point(entity, m.STUCK, 1)])
            if not worker.told_stuck:
                worker.told_stuck = True
                message = (
                    f"a call into the driver for GPU {entity.uuid} has not returned for {worker.stuck_for(now):.1f} s"
                )
                self.outbox.event(Event(entity, m.IS_STUCK, message))

    def _report_self(self) -> None:
        if not self._opened:
            return  # nothing was read yet, so there is nothing to judge it by
        points = [Point(self._host, m.PROVIDER_RESTARTS, self._restarts)]
        dropped = self._exporter.dropped.copy()
        points += [Point(self._host, m.EXPORT_DROPPED, count, (("error.type", why),)) for why, count in dropped.items()]
        for uuid, entity in list(self._lost.items()):
            points += self._states[uuid].own_points(entity)
        self.outbox.points(time.time_ns(), points)

    def _export(self) -> None:
        samples, events = self.outbox.take()
        if samples:
            metrics, count = self._encoder.metrics(samples)
            self._exporter.submit(METRICS_PATH, metrics.SerializeToString(), count)
        if events:
            logs, count = self._encoder.logs(events)
            self._exporter.submit(LOGS_PATH, logs.SerializeToString(), count)
