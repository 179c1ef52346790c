"""Read the GPU of an Apple chip from the JSON lines of `macmon pipe`, which needs no root. Never tried on hardware.

The tool is a program of its own (brew install macmon); what it prints is the only thing known of it here. Memory is
shared between CPU and GPU, so its numbers are those of the whole machine.
"""

import json
import logging
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gpu_agent import metrics as m
from gpu_agent.metrics import Interval, Metric
from gpu_agent.provider import Attributes, Entity, Event, Point, ProviderLost, Sample, Unavailable

log = logging.getLogger("gpu_agent.apple")

PROGRAM = "macmon"
MAX_LINE_BYTES = 64 << 10  # a sample has about 2 kB
FIRST_SAMPLE_S = 5.0  # the tool averages over its first interval before it prints
STALE_INTERVALS = 5
MEGAHERTZ = 1_000_000
# Where a value stands in a sample; the later paths are those of older versions.
PATHS: tuple[tuple[Metric, Attributes, int | float, tuple[tuple[str | int, ...], ...]], ...] = (
    (m.UTILIZATION, (("hw.gpu.task", "general"),), 1, (("gpu_active_ratio",), ("gpu_usage", 1))),
    (m.CLOCK, (("gpu.clock.type", "graphics"),), MEGAHERTZ, (("gpu_freq_mhz",), ("gpu_usage", 0))),
    (m.POWER, (), 1, (("gpu_power",),)),
    (m.TEMPERATURE, (("hw.sensor_location", "gpu"),), 1, (("temp", "gpu_temp_avg"),)),
    (m.MEMORY_USAGE, (), 1, (("memory", "ram_usage"),)),
    (m.MEMORY_LIMIT, (), 1, (("memory", "ram_total"),)),
)


def readings(sample: Mapping[str, Any]) -> list[tuple[Metric, int | float, Attributes]]:
    """The values of one sample of the tool; what is not a number there is absent."""
    rows: list[tuple[Metric, int | float, Attributes]] = []
    for metric, attributes, scale, paths in PATHS:
        value = next((found for path in paths if (found := _at(sample, path)) is not None), None)
        if value is not None:
            rows.append((metric, value * scale, attributes))
    values = {metric: value for metric, value, _attributes in rows}
    if values.get(m.MEMORY_LIMIT) and m.MEMORY_USAGE in values:
        rows.append((m.MEMORY_UTILIZATION, values[m.MEMORY_USAGE] / values[m.MEMORY_LIMIT], ()))
    return rows


def _at(sample: Any, path: tuple[str | int, ...]) -> int | float | None:
    for key in path:
        if isinstance(key, str):
            sample = sample.get(key) if isinstance(sample, dict) else None
        else:
            sample = sample[key] if isinstance(sample, list) and len(sample) > key else None
    return sample if isinstance(sample, int | float) and not isinstance(sample, bool) else None


class AppleGpu:
    """The GPU of this machine."""

    def __init__(self, provider: "AppleProvider", chip: str) -> None:
        uuid = f"apple-{socket.gethostname()}"
        attributes: dict[str, str | int] = {"hw.id": uuid, "hw.type": "gpu", "hw.vendor": "Apple", "gpu.index": 0}
        if chip:
            attributes["hw.name"] = chip
        self._entity = Entity(uuid, attributes)
        self._provider = provider

    @property
    def entity(self) -> Entity:
        return self._entity

    def read(self, interval: Interval) -> Sample:
        if interval is not Interval.FAST:
            return Sample()
        rows = readings(self._provider.latest())
        return Sample([Point(self._entity, metric, value, attributes) for metric, value, attributes in rows])

    def close(self) -> None:
        """The provider owns the program."""


class AppleProvider:
    """Runs `macmon pipe` and keeps its last line."""

    name = "apple"

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._latest: tuple[float, dict[str, Any]] | None = None
        self._first = threading.Event()
        self._gpu: AppleGpu | None = None

    def open(self) -> None:
        program = shutil.which(PROGRAM)
        if program is None:
            raise Unavailable(f"the program {PROGRAM} was not found (brew install {PROGRAM})")
        self._first.clear()
        self._latest = None
        command = [program, "pipe", "-s", "0", "-i", str(round(self._interval_s * 1000)), "--soc-info"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._reader = threading.Thread(target=self._follow, args=(self._process,), name="macmon", daemon=True)
        self._reader.start()
        if not self._first.wait(FIRST_SAMPLE_S + self._interval_s) or self._latest is None:
            self.close()
            raise Unavailable(f"{PROGRAM} printed no sample")
        chip = self._latest[1].get("soc", {}).get("chip_name", "")
        self._gpu = AppleGpu(self, chip)

    def latest(self) -> dict[str, Any]:
        """The last sample; raises ProviderLost when the tool has stopped printing."""
        if self._latest is None or time.monotonic() - self._latest[0] > STALE_INTERVALS * self._interval_s:
            raise ProviderLost(f"{PROGRAM} prints no more samples")
        return self._latest[1]

    def devices(self) -> Sequence[AppleGpu]:
        return [self._gpu] if self._gpu else []

    def topology(self) -> Event | None:
        return None

    def events(self, timeout_s: float) -> list[Event]:
        """The tool tells none; the wait keeps the caller's loop slow."""
        time.sleep(timeout_s)
        return []

    def close(self) -> None:
        process, self._process, self._gpu = self._process, None, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader:
            self._reader.join(2)
        if process.stdout:
            process.stdout.close()

    def _follow(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        while line := process.stdout.readline(MAX_LINE_BYTES):
            try:
                sample = json.loads(line)
            except ValueError:  # half a line, when the tool was killed
                continue
            if isinstance(sample, dict):
                self._latest = (time.monotonic(), sample)
                self._first.set()
        self._first.set()  # the tool ended; whoever waits for a sample need not
