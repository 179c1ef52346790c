"""`--once`: read everything once, send it, and leave."""

import contextlib
import logging
import time

from gpu_agent.agent import EXIT_FAILED, EXIT_OK, EXIT_OUTDATED, EXIT_UNAVAILABLE, Settings
from gpu_agent.export import LOGS_PATH, METRICS_PATH, Exporter
from gpu_agent.metrics import Interval
from gpu_agent.otlp import Encoder, Stamped, StampedEvent
from gpu_agent.provider import DeviceLost, Outdated, Provider, ProviderLost, Unavailable
from gpu_agent.state import GpuState

log = logging.getLogger("gpu_agent")


def sample_once(provider: Provider, encoder: Encoder, exporter: Exporter, settings: Settings) -> int:
    """Read every interval class once, send it, and return the exit code; activity needs two reads a moment apart."""
    try:
        provider.open()
    except Unavailable as error:
        log.error("%s", error)
        return EXIT_OUTDATED if isinstance(error, Outdated) else EXIT_UNAVAILABLE
    exporter.start()
    stamped: list[Stamped] = []
    try:
        devices = provider.devices()
        for device in devices:
            state = GpuState()
            for interval in (Interval.SLOW, Interval.MEDIUM, Interval.FAST, Interval.FAST):
                with contextlib.suppress(DeviceLost):  # one GPU that is gone must not hide the others
                    sample = device.read(interval)
                    now_ns = time.time_ns()
                    stamped.append(Stamped(now_ns, state.finish(device.entity, sample, interval, now_ns)[0]))
                if interval is Interval.FAST:
                    time.sleep(0.12)
        topology = provider.topology()
    except ProviderLost as error:
        log.error("the driver went away: %s", error)
        return EXIT_FAILED
    finally:
        provider.close()
    metrics, count = encoder.metrics(stamped)
    exporter.submit(METRICS_PATH, metrics.SerializeToString(), count)
    if topology:
        logs, events = encoder.logs([StampedEvent(time.time_ns(), topology)])
        exporter.submit(LOGS_PATH, logs.SerializeToString(), events)
    sent = exporter.close(settings.flush_timeout_s)
    log.info("%d points of %d GPUs %s", count, len(devices), "sent" if sent else "not sent")
    return EXIT_OK if sent and not exporter.dropped else EXIT_FAILED
