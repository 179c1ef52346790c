"""One NVIDIA GPU, and the MIG instances on it: walks the tables of its driver and turns what answers into points."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gpu_agent.metrics import Interval
from gpu_agent.nvml import groups, library
from gpu_agent.nvml.library import FieldKey, ReadFailed, Unsupported
from gpu_agent.nvml.readings import Call, Field, Reading, Source
from gpu_agent.processes import ProcessTable
from gpu_agent.provider import Entity, Point, Sample

STATES = ("ok", "degraded", "predicted_failure", "failed")  # from good to bad
Group = Callable[[groups.Reader], Iterable[Point]]


class Plan(NamedTuple):
    """The fields to ask for in one call, and the rows with the sources that may have a value."""

    keys: list[FieldKey]
    rows: list[tuple[Reading, tuple[Source, ...]]]


class Unit:
    """What can be read on its own: a GPU or a MIG instance, with what it turned out not to support."""

    def __init__(self, handle: Any, entity: Entity) -> None:
        self.handle = handle
        self.entity = entity
        self.sample = Sample()
        self._missing: set[Source | FieldKey | str] = set()
        self._plans: dict[Interval, Plan] = {}
        self._results: dict[tuple[str, tuple[int, ...]], Any] = {}

    def begin(self, sample: Sample, fresh: bool) -> None:
        """Start a read into `sample`; `fresh` asks again for what was not supported before."""
        self.sample = sample
        self._results.clear()
        if fresh:
            self._missing.clear()
            self._plans.clear()

    def failed(self, error: ReadFailed) -> None:
        name = str(error)
        self.sample.errors[name] = self.sample.errors.get(name, 0) + 1

    def call(self, function: str, *arguments: Any) -> Any:
        """One call, not repeated while the function is known to be missing here."""
        if function in self._missing:
            raise Unsupported(function)
        try:
            return library.call(function, *arguments)
        except Unsupported:
            self._miss(function)
            raise

    def fields(self, keys: Iterable[FieldKey]) -> dict[FieldKey, int | float]:
        """The fields that have a value, read in one call."""
        result: dict[FieldKey, int | float] = {}
        wanted = [key for key in keys if key not in self._missing]
        for key, value in library.field_values(self.handle, wanted).items():
            if not isinstance(value, Exception):
                if not library.is_sentinel(value):
                    result[key] = value
            elif isinstance(value, Unsupported):
                self._miss(key)
            elif isinstance(value, ReadFailed):
                self.failed(value)
        return result

    def rows(self, interval: Interval, table: Mapping[Interval, tuple[Reading, ...]]) -> None:
        """Read the rows of one interval class, all their fields in one call."""
        plan = self._plans.get(interval) or self._plan(interval, table[interval])
        fields = self.fields(plan.keys)
        entity, points = self.entity, self.sample.points
        for row, sources in plan.rows:
            for source in sources:
                value = fields.get(source.key) if isinstance(source, Field) else self._called(source)
                if value is None:
                    continue
                value *= source.scale
                if row.low <= value <= row.high:
                    points.append(Point(entity, row.metric, value, row.attributes))
                break

    def _plan(self, interval: Interval, rows: tuple[Reading, ...]) -> Plan:
        """The rows with what is known to be missing left out; kept until something more turns out to be missing."""
        found = [(row, tuple(source for source in row.sources if source not in self._missing)) for row in rows]
        keys = [source.key for _row, sources in found for source in sources if isinstance(source, Field)]
        self._plans[interval] = Plan(
            [key for key in keys if key not in self._missing], [each for each in found if each[1]]
        )
        return self._plans[interval]

    def _miss(self, what: Source | FieldKey | str) -> None:
        self._missing.add(what)
        self._plans.clear()

    def _called(self, source: Call) -> int | float | None:
        whole = (source.function, source.arguments)  # one call may serve several rows
        try:
            if whole not in self._results:
                self._results[whole] = library.call(source.function, self.handle, *source.arguments)
        except Unsupported:
            self._miss(source)
            return None
        except ReadFailed as error:
            self.failed(error)
            return None
        result = self._results[whole]
        if isinstance(source.part, str):
            result = getattr(result, source.part)
        elif source.part is not None:
            result = result[source.part]
        value: int | float = result
        return None if library.is_sentinel(value) else value

    def group(self, group: Group) -> None:
        """Add what a group yields; what it cannot read is absent."""
        try:
            self.sample.points.extend(group(self))
        except Unsupported:
            return
        except ReadFailed as error:
            self.failed(error)


class Mig(Unit):
    """A MIG instance with its own activity and processes."""

    def __init__(self, handle: Any, entity: Entity, gpm: groups.Gpm | None, table: ProcessTable) -> None:
        super().__init__(handle, entity)
        self.gpm = gpm
        self.processes = groups.Processes(table)


class NvmlDevice:
    """One GPU."""

    def __init__(
        self,
        handle: Any,
        entity: Entity,
        table: Mapping[Interval, tuple[Reading, ...]],
        processes: ProcessTable,
        gpm: bool,
    ) -> None:
        self._table = table
        self._process_table = processes
        self._want_gpm = gpm
        self._gpu = Unit(handle, entity)
        self._processes = groups.Processes(processes)
        self._gpm: groups.Gpm | None = None
        self._migs: dict[str, Mig] = {}

    @property
    def entity(self) -> Entity:
        return self._gpu.entity

    def moved(self, handle: Any, entity: Entity) -> None:
        """The driver numbers the GPU anew after another one was lost."""
        self._gpu.handle, self._gpu.entity = handle, entity

    def read(self, interval: Interval) -> Sample:
        """Read one interval class of the GPU and its MIG instances; raises DeviceLost or ProviderLost."""
        sample = Sample()
        fresh = interval is Interval.SLOW
        for unit in (self._gpu, *self._migs.values()):
            unit.begin(sample, fresh)
        if fresh:
            self._gpm = self._gpm or self._gpm_of_gpu()
        if interval is Interval.MEDIUM:
            self._find_migs(sample)
        self._gpu.rows(interval, self._table)
        if interval is Interval.FAST:
            self._fast()
        elif interval is Interval.MEDIUM:
            self._medium(sample)
        return sample

    def close(self) -> None:
        for gpm in (self._gpm, *(mig.gpm for mig in self._migs.values())):
            if gpm:
                gpm.close()
        self._gpm = None
        self._migs.clear()

    def _fast(self) -> None:
        self._gpu.group(groups.memory)
        self._gpu.group(groups.throttle_reasons)
        if self._gpm:
            self._gpu.group(self._gpm)
        for mig in self._migs.values():
            mig.group(groups.memory)
            if mig.gpm:
                mig.group(mig.gpm)

    def _medium(self, sample: Sample) -> None:
        self._gpu.group(groups.nvlink)
        self._gpu.group(self._processes)
        for mig in self._migs.values():
            mig.group(mig.processes)
        for judged in (groups.remapped_rows, groups.recovery_action):
            try:
                points, state = judged(self._gpu)
            except Unsupported:
                continue
            except ReadFailed as error:
                self._gpu.failed(error)
                continue
            sample.points.extend(points)
            sample.state = max(sample.state, state, key=STATES.index)

    def _gpm_of_gpu(self) -> groups.Gpm | None:
        if not self._want_gpm:
            return None
        try:
            if not self._gpu.call("nvmlGpmQueryDeviceSupport", self._gpu.handle).isSupportedDevice:
                return None
            return groups.Gpm(lambda sample: library.call("nvmlGpmSampleGet", self._gpu.handle, sample))
        except (Unsupported, ReadFailed):
            return None

    def _find_migs(self, sample: Sample) -> None:
        """Keep one `Mig` for each instance that exists now; instances come and go while the agent runs."""
        found: dict[str, Mig] = {}
        for handle in self._mig_handles():
            try:
                uuid = library.call("nvmlDeviceGetUUID", handle)
                known = self._migs.get(uuid)
                found[uuid] = known or self._mig(handle, uuid)
            except (Unsupported, ReadFailed):  # removed while we looked
                continue
            if known is None:
                found[uuid].begin(sample, fresh=True)
        for uuid, gone in self._migs.items():
            if uuid not in found and gone.gpm:
                gone.gpm.close()
        self._migs = found

    def _mig_handles(self) -> Iterable[Any]:
        try:
            current, _pending = self._gpu.call("nvmlDeviceGetMigMode", self._gpu.handle)
            count = self._gpu.call("nvmlDeviceGetMaxMigDeviceCount", self._gpu.handle) if current else 0
        except (Unsupported, ReadFailed):
            return
        for index in range(count):
            try:
                yield library.call("nvmlDeviceGetMigDeviceHandleByIndex", self._gpu.handle, index)
            except (Unsupported, ReadFailed):  # an index without an instance
                continue

    def _mig(self, handle: Any, uuid: str) -> Mig:
        gi = library.call("nvmlDeviceGetGpuInstanceId", handle)
        ci = library.call("nvmlDeviceGetComputeInstanceId", handle)
        attributes: dict[str, str | int] = dict(self.entity.attributes)
        attributes |= {"hw.id": uuid, "hw.parent": self.entity.uuid, "gpu.mig.gi": gi, "gpu.mig.ci": ci}
        try:
            shape = library.call("nvmlDeviceGetAttributes_v2", handle)
            attributes["gpu.mig.profile"] = mig_profile(
                shape.computeInstanceSliceCount, shape.gpuInstanceSliceCount, shape.memorySizeMB
            )
        except (Unsupported, ReadFailed):
            pass
        gpm = None
        if self._gpm:
            gpm = groups.Gpm(lambda sample: library.call("nvmlGpmMigSampleGet", self._gpu.handle, gi, sample))
        return Mig(handle, Entity(uuid, attributes), gpm, self._process_table)


def mig_profile(compute_slices: int, gpu_slices: int, memory_mib: int) -> str:
    """The profile's usual name: 3g.40gb, or 1c.3g.40gb for a part of a GPU instance."""
    part = "" if compute_slices == gpu_slices else f"{compute_slices}c."
    return f"{part}{gpu_slices}g.{round(memory_mib / 1024)}gb"
