"""Span -> engine -> process -> GPUs: the rules, without reading anything.

- `place(span, below, processes) -> Placement`

What is known decides, strongest first: the span names its GPUs (`uuid`); its process holds them, or is a parent of one
that does (`pid`); its container or pod does (`container`); the address that it called is a socket on which such a
process listens (`socket`); its host has GPUs (`host`). A call-out is placed by the server span below it, else by its
address, never by its own process or host, which only made the call. Where two engines fit, both are listed and none is
chosen.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Literal

Strength = Literal["uuid", "pid", "socket", "container", "host", "none"]
SECOND = 10**9
# The agent lists processes every ten seconds unless told otherwise; a span may fall before the first look or after the
# last, and clocks differ a little.
SLACK_NS = 60 * SECOND
# A process that began after the span did not run it; hosts' clocks agree to about a second.
CLOCK_NS = SECOND
# Programs of which each process serves a model of its own, however many share a parent; elsewhere, processes of one
# parent that hold GPUs are the workers of one engine.
_ONE_PROCESS_EACH = ("ollama", "llama")
_LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
_SHORT_CONTAINER = re.compile(r"[0-9a-f]{12}")
# From a client's span to the server's there are a few spans of HTTP libraries and gateways at most.
MAX_DEPTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What one span says about where it ran. Missing texts are ''."""

    trace_id: str
    span_id: str
    parent_span_id: str
    start_ns: int
    duration_ns: int | None
    kind: str
    span_kind: str
    service: str
    service_instance_id: str
    host: str
    host_id: str
    process_id: int | None
    container: str
    pod: str
    server_address: str
    server_port: int | None
    gpu_uuids: tuple[str, ...]

    @property
    def end_ns(self) -> int:
        """End; the start where the span has not ended."""
        return self.start_ns + (self.duration_ns or 0)

    @property
    def calls_out(self) -> bool:
        """Whether the span is the caller's side: its process waits while another computes."""
        return self.span_kind == "client" or bool(self.server_address and self.span_kind not in ("server", "consumer"))


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that held a GPU from `first_ns` to `last_ns`, as the GPU agent saw it."""

    host: str
    host_id: str
    gpu_uuid: str
    gpu_index: str
    gpu_name: str
    pid: int
    created: str
    executable: str
    container: str
    pod: str
    parents: tuple[int, ...]
    listen: tuple[str, ...]
    addresses: tuple[str, ...]
    first_ns: int
    last_ns: int

    @property
    def created_ns(self) -> int | None:
        """When the process began, None where the agent could not tell."""
        try:
            return int(datetime.fromisoformat(self.created).timestamp() * 1_000) * 1_000_000 if self.created else None
        except ValueError:  # another agent's notion of a time
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedGpu:
    """One GPU of a placement."""

    uuid: str
    index: str
    name: str
    host: str

    @property
    def label(self) -> str:
        """Such as `GPU 3 of node-7`, or the beginning of the UUID where the index is not known."""
        return f"GPU {self.index or self.uuid[:12]}" + (f" of {self.host}" if self.host else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The processes that serve together; `pid` is their server's or the only one's."""

    host: str
    pid: int
    executable: str
    container: str
    pids: tuple[int, ...]
    gpus: tuple[PlacedGpu, ...]

    @property
    def label(self) -> str:
        """In words: program, PID, host and GPUs."""
        gpus = ", ".join(gpu.index or gpu.uuid[:12] for gpu in self.gpus)
        return f"{self.executable or 'process'} {self.pid} on {self.host} (GPU {gpus})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a span ran, how that is known, and in words why; `gpus` is empty where it is not known.

    `candidates` are the engines that fit where more than one does, or that the host runs where only that is known.
    """

    strength: Strength
    reason: str
    service: str = ""
    instance: str = ""
    engine: Engine | None = None
    gpus: tuple[PlacedGpu, ...] = ()
    candidates: tuple[Engine, ...] = ()
    via_span_id: str = ""

    @property
    def is_proven(self) -> bool:
        """Whether the GPUs are those that computed, not just those of the host."""
        return self.strength in ("uuid", "pid", "socket", "container")


def place(span: Place, below: Mapping[str, Sequence[Place]], processes: Sequence[GpuProcess]) -> Placement:
    """Return where a span ran.

    `below` are the spans of its trace by their parent's id, `processes` those that held a GPU around its time; ones
    that did not live then are passed over.
    """
    alive = living(span.start_ns, span.end_ns, processes)
    own = _by_itself(span, alive)
    if own is not None and not span.calls_out:
        return own
    if span.gpu_uuids:
        return _named(span, alive)
    server = _by_server_span(span, below, processes)
    if server is not None:
        return server
    if span.calls_out:
        return _by_address(span, alive)
    return _by_host(span, alive)


def _by_itself(span: Place, alive: Sequence[GpuProcess]) -> Placement | None:
    """By what the span says of its own process; None where that leads nowhere."""
    if span.gpu_uuids:
        return _named(span, alive)
    if span.process_id is not None:
        direct = [each for each in alive if each.pid == span.process_id and _same_namespace(span, each)]
        workers = [each for each in alive if span.process_id in each.parents and _same_namespace(span, each)]
        if direct or workers:
            how = "holds" if direct else "started the processes that hold"
            return _chosen(span, "pid", [*direct, *workers], f"Process {span.process_id} of {span.host} {how}")
    container = [each for each in alive if _same_container(span, each)]
    if container:
        what = "pod" if span.pod and container[0].pod == span.pod else "container"
        return _chosen(span, "container", container, f"Its {what} holds")
    return None


def _named(span: Place, alive: Sequence[GpuProcess]) -> Placement:
    known = {each.gpu_uuid: each for each in alive}
    gpus = [
        PlacedGpu(
            uuid=uuid,
            index=known[uuid].gpu_index if uuid in known else "",
            name=known[uuid].gpu_name if uuid in known else "",
            host=known[uuid].host if uuid in known else span.host,
        )
        for uuid in dict.fromkeys(span.gpu_uuids)
    ]
    return Placement(
        strength="uuid",
        reason=f"The span itself names {_gpus(len(gpus))}.",
        service=span.service,
        instance=span.service_instance_id,
        gpus=tuple(gpus),
    )


def _by_server_span(
    span: Place, below: Mapping[str, Sequence[Place]], processes: Sequence[GpuProcess]
) -> Placement | None:
    """By the server's spans below, None where none of them leads to a GPU."""
    found: list[tuple[Place, Placement]] = []
    level: list[Place] = list(below.get(span.span_id, ()))
    seen = {span.span_id}
    for _ in range(MAX_DEPTH):
        next_level: list[Place] = []
        for each in level:
            if each.span_id in seen:  # a trace may name itself its own parent
                continue
            seen.add(each.span_id)
            placed = None if each.calls_out else _by_itself(each, living(each.start_ns, each.end_ns, processes))
            if placed is not None:
                found.append((each, placed))
            else:
                next_level += below.get(each.span_id, ())
        level = next_level
    if not found:
        return None
    server, placed = found[0]
    same = {tuple(gpu.uuid for gpu in each.gpus) for _, each in found}
    if len(same) == 1:
        how = f"Its server span “{server.service or server.span_id}” shows it: {placed.reason}"
        return Placement(
            strength=placed.strength,
            reason=how,
            service=placed.service,
            instance=placed.instance,
            engine=placed.engine,
            gpus=placed.gpus,
            candidates=placed.candidates,
            via_span_id=server.span_id,
        )
    engines = [engine for _, each in found for engine in ((each.engine,) if each.engine else each.candidates)]
    return Placement(
        strength="none",
        reason=f"{len(found)} calls below this span ran in different places; each of them has its own.",
        candidates=_distinct(engines),
    )


def _by_address(span: Place, alive: Sequence[GpuProcess]) -> Placement:
    """By the socket that a call-out names."""
    address = span.server_address.strip("[]").lower()
    if not address:
        return _nowhere("The call names no server address, and no server span came for it.")
    if span.server_port is None:
        return _nowhere(f"The call names {address} without a port, so no listening socket can be told.")
    where = f"{address}:{span.server_port}"
    listening = [each for each in alive if _is_reached(span, address, span.server_port, each)]
    if listening:
        return _chosen(span, "socket", listening, f"The call went to {where}, the socket of the server that holds")
    if _is_loopback(address):
        return _nowhere(f"No process that holds a GPU of {span.host or 'its host'} listens at {where} for this caller.")
    if _is_ip(address):
        return _nowhere(
            f"No process that holds a GPU listens at {where}; behind a proxy or a translated address, only the "
            "server's own span can say which engine answered."
        )
    return _nowhere(
        f"{where} is the name of a service, a proxy or a host without a GPU process at this port: which engine "
        "answered cannot be told from it. Send the engine's own spans."
    )


def _by_host(span: Place, alive: Sequence[GpuProcess]) -> Placement:
    here = [each for each in alive if _same_host(span, each)]
    if here:
        engines = _engines(here)
        gpus = _gpu_list(here)
        running = "one engine runs" if len(engines) == 1 else f"{len(engines)} engines run"
        reason = f"The span names its host only: {running} on the {_gpus(len(gpus))} of {here[0].host}."
        return Placement(
            strength="host",
            reason=reason,
            service=span.service,
            instance=span.service_instance_id,
            gpus=gpus,
            candidates=engines,
        )
    if not span.host and not span.host_id:
        return _nowhere("The span names neither a process nor a host.")
    return _nowhere(f"No process of {span.host or span.host_id} is known to have held a GPU at that time.")


def _chosen(span: Place, strength: Strength, processes: Sequence[GpuProcess], how: str) -> Placement:
    engines = _engines(_latest(processes))
    if len(engines) > 1:
        listed = "; ".join(engine.label for engine in engines)
        return Placement(
            strength="none",
            reason=f"{len(engines)} engines fit by {strength}, so none is chosen: {listed}.",
            candidates=engines,
        )
    (engine,) = engines
    together = f" ({len(engine.pids)} processes together)" if len(engine.pids) > 1 else ""
    return Placement(
        strength=strength,
        reason=f"{how} {_gpus(len(engine.gpus))}{together}.",
        service="" if span.calls_out else span.service,
        instance="" if span.calls_out else span.service_instance_id,
        engine=engine,
        gpus=engine.gpus,
    )


def _nowhere(reason: str) -> Placement:
    return Placement(strength="none", reason=reason)


def living(start_ns: int, end_ns: int, processes: Sequence[GpuProcess]) -> list[GpuProcess]:
    """Return the processes that may have run something from `start_ns` to `end_ns`, by their time."""
    first, last = start_ns - SLACK_NS, end_ns + SLACK_NS
    found = []
    for each in processes:
        if each.first_ns > last or each.last_ns < first:
            continue
        created = each.created_ns
        if created is None or created <= start_ns + CLOCK_NS:
            found.append(each)
    return found


def _latest(processes: Sequence[GpuProcess]) -> list[GpuProcess]:
    """Of processes with one PID on one host, the one that began last: the system gave its number again."""
    began: dict[tuple[str, str, int], str] = {}
    for each in processes:
        key = (each.host, each.host_id, each.pid)
        began[key] = max(began.get(key, ""), each.created)
    return [each for each in processes if each.created == began[each.host, each.host_id, each.pid]]


def _same_host(span: Place, process: GpuProcess) -> bool:
    if span.host and span.host.lower() not in _LOCAL_NAMES and span.host.lower() == process.host.lower():
        return True
    return bool(span.host_id) and span.host_id == process.host_id


def _same_namespace(span: Place, process: GpuProcess) -> bool:
    """Whether a PID of the span is a PID of the host: a container numbers its processes anew."""
    return _same_host(span, process) and span.container in ("", process.container)


def _same_container(span: Place, process: GpuProcess) -> bool:
    if span.container:
        return span.container == process.container
    if span.pod:
        return span.pod == process.pod
    # Docker names a container's host by the beginning of its id.
    return bool(_SHORT_CONTAINER.fullmatch(span.host)) and process.container.startswith(span.host)


def _is_reached(span: Place, address: str, port: int, process: GpuProcess) -> bool:
    """Whether a call from the span's place to an address arrives at a socket of the process."""
    sockets = {socket.rpartition(":")[0].strip("[]") for socket in process.listen if socket.endswith(f":{port}")}
    if not sockets:
        return False
    is_open = not sockets.isdisjoint(("0.0.0.0", "::"))  # noqa: S104  # compared, not bound
    if _is_loopback(address):
        near = _same_container(span, process) or (
            _same_host(span, process) and not process.container and not span.container and not span.pod
        )
        return near and (is_open or any(_is_loopback(socket) for socket in sockets))
    if _is_ip(address):
        return address in sockets or (is_open and address in process.addresses)
    # Through a container's published port, a host's name may lead to another container's socket of the same number.
    is_host = address == process.host.lower() and not process.container
    return is_host and (is_open or any(not _is_loopback(socket) for socket in sockets))


def _is_loopback(address: str) -> bool:
    if address in _LOCAL_NAMES:
        return True
    return _is_ip(address) and ip_address(address).is_loopback


def _is_ip(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


def _engines(processes: Sequence[GpuProcess]) -> tuple[Engine, ...]:
    """Group processes into engines: a server with its workers, or the workers of one parent."""
    leaders = {(each.host, each.host_id, each.parents[0]) for each in processes if each.parents}
    groups: dict[tuple[str, str, int], list[GpuProcess]] = {}
    for each in processes:
        leads = (each.host, each.host_id, each.pid) in leaders
        alone = leads or not each.parents or each.executable.lower().startswith(_ONE_PROCESS_EACH)
        key = (each.host, each.host_id, each.pid if alone else each.parents[0])
        groups.setdefault(key, []).append(each)
    found = []
    for (host, _, leader), members in sorted(groups.items()):
        pids = tuple(sorted({each.pid for each in members}))
        found.append(
            Engine(
                host=host,
                pid=leader if leader in pids or len(pids) > 1 else pids[0],
                executable=members[0].executable,
                container=members[0].container,
                pids=pids,
                gpus=_gpu_list(members),
            )
        )
    return tuple(found)


def _gpu_list(processes: Iterable[GpuProcess]) -> tuple[PlacedGpu, ...]:
    found = {
        each.gpu_uuid: PlacedGpu(uuid=each.gpu_uuid, index=each.gpu_index, name=each.gpu_name, host=each.host)
        for each in processes
    }
    return tuple(sorted(found.values(), key=lambda gpu: (gpu.host, len(gpu.index), gpu.index, gpu.uuid)))


def _distinct(engines: Iterable[Engine]) -> tuple[Engine, ...]:
    return tuple({(engine.host, engine.pid): engine for engine in engines}.values())


def _gpus(count: int) -> str:
    return "one GPU" if count == 1 else f"{count} GPUs"
