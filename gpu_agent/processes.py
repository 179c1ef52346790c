"""What /proc tells of a process that holds a GPU: its start, container, pod, parents and listening sockets.

These lead a span to its GPU: by process, by container or by the server address that the client called. NVML names
PIDs as the host numbers them, so the agent needs the host's /proc; without it, nothing is told rather than guessed.
"""

import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from gpu_agent.provider import Attributes

DEFAULT_ROOT = Path("/proc")
HOST_PID_NAMESPACE = "pid:[4026531836]"  # the kernel gives the first PID namespace this fixed number
REFRESH_S = 60.0  # sockets and parents change seldom, and walking descriptors costs milliseconds
MAX_PARENTS = 16  # an engine's workers are a few steps below the server process
MAX_DESCRIPTORS = 16384  # engines hold thousands; more is a leak that we need not walk
MAX_TABLE_BYTES = 4 << 20  # /proc/net/tcp has 150 bytes a connection
MAX_CACHED = 1024  # processes that ever held a GPU, the oldest forgotten first
MAX_ADDRESSES = 32  # a host with more is a router; what is left out cannot be matched, and nothing else is harmed
LISTEN = "0A"
WILDCARDS = ("0.0.0.0:", "[::]:")  # as the kernel prints them

CONTAINER_ID = re.compile(r"(?<![0-9a-f])([0-9a-f]{64})(?![0-9a-f])")
# kubepods-besteffort-pod1234_5678.slice (systemd) or /kubepods/besteffort/pod1234-5678/ (cgroupfs)
POD_UID = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})")


def container_of(cgroup: str) -> tuple[str, str]:
    """Container id and pod uid in the text of /proc/PID/cgroup, '' for what it does not tell."""
    containers, pods = CONTAINER_ID.findall(cgroup), POD_UID.findall(cgroup)
    return (containers[-1] if containers else "", pods[-1].replace("_", "-") if pods else "")


def listening(table: str) -> Iterator[tuple[str, str]]:
    """(socket inode, "address:port") of each listening socket in the text of /proc/PID/net/tcp or tcp6."""
    for line in table.splitlines()[1:]:
        columns = line.split()
        if len(columns) < 10 or columns[3] != LISTEN or ":" not in columns[1]:
            continue
        address, port = columns[1].rsplit(":", 1)
        if host := _address(address):
            yield columns[9], f"{host}:{int(port, 16)}"


def _address(text: str) -> str:
    """The kernel prints an address as 32-bit words in the byte order of the machine."""
    if len(text) not in (8, 32):
        return ""
    words = b"".join(int(text[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(text), 8))
    return str(IPv4Address(words)) if len(words) == 4 else f"[{IPv6Address(words)}]"


def local_ipv4(table: str) -> Iterator[str]:
    """IPv4 addresses of a network namespace, loopback aside, in the text of /proc/PID/net/fib_trie."""
    candidate = ""
    for line in table.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "|--":
            candidate = words[1]
        elif words[:1] == ["/32"] and words[-1] == "LOCAL" and not candidate.startswith("127."):
            yield candidate


def local_ipv6(table: str) -> Iterator[str]:
    """IPv6 addresses of a network namespace, loopback and link-local aside, in the text of /proc/PID/net/if_inet6."""
    for line in table.splitlines():
        text = line.split(" ", 1)[0]
        if len(text) != 32:
            continue
        try:
            address = IPv6Address(int(text, 16))
        except ValueError:  # not a hexadecimal number
            continue
        if not address.is_loopback and not address.is_link_local:
            yield str(address)


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `attributes` are on each of its points, `links` on its info point only."""

    attributes: Attributes
    links: Attributes
    read_at: float


class ProcessTable:
    """Descriptions of processes by PID and start time, read from `root` and kept for a minute."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or DEFAULT_ROOT
        self.trusted = root is not None or self._in_host_namespace()
        self._cache: dict[tuple[int, int], Process] = {}
        self._boot_ns = self._boot_time_ns()

    def describe(self, pid: int) -> Process:
        """What is known of the process now; just its PID where /proc cannot be trusted or the process is gone."""
        bare = Process((("process.pid", pid),), (), 0.0)
        if not self.trusted:
            return bare
        stat = self._stat(pid)
        if stat is None:
            return bare
        start_ticks, _parent, _name = stat
        found = self._cache.get((pid, start_ticks))
        if found and time.monotonic() - found.read_at < REFRESH_S:
            return found
        found = self._read(pid, stat)
        self._cache.pop((pid, start_ticks), None)
        self._cache[pid, start_ticks] = found
        if len(self._cache) > MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        return found

    def _read(self, pid: int, stat: tuple[int, int, str]) -> Process:
        start_ticks, parent, name = stat
        started = self._boot_ns // 1_000_000 + start_ticks * 1000 // os.sysconf("SC_CLK_TCK")
        container, pod = container_of(self._text(f"{pid}/cgroup"))
        attributes: list[tuple[str, str | int]] = [("process.pid", pid)]
        attributes.append(("process.creation.time", _iso(started)))
        attributes.append(("process.executable.name", name))
        if container:
            attributes.append(("container.id", container))
        if pod:
            attributes.append(("k8s.pod.uid", pod))
        parents = self._parents(parent)
        links: list[tuple[str, str | int]] = []
        if parents:
            links.append(("gpu.process.parent_pids", ",".join(map(str, parents))))
        # The server that listens is often a parent of the workers that compute.
        addresses = sorted({address for each in (pid, *parents) for address in self._sockets(each)})
        if addresses:
            links.append(("gpu.process.listen", ",".join(addresses)))
        if any(address.startswith(WILDCARDS) for address in addresses) and (reached := self._local(pid)):
            links.append(("gpu.process.addresses", ",".join(reached)))
        return Process(tuple(attributes), tuple(links), time.monotonic())

    def _parents(self, parent: int) -> list[int]:
        """PIDs from the parent upwards, without init."""
        found: list[int] = []
        while parent > 1 and len(found) < MAX_PARENTS:
            found.append(parent)
            stat = self._stat(parent)
            parent = stat[1] if stat else 0
        return found

    def _sockets(self, pid: int) -> Iterator[str]:
        """Addresses on which the process listens; none where its descriptors may not be read."""
        inodes: set[str] = set()
        try:
            with os.scandir(self.root / str(pid) / "fd") as descriptors:
                for count, descriptor in enumerate(descriptors):
                    if count >= MAX_DESCRIPTORS:
                        break
                    target = os.readlink(descriptor.path)
                    if target.startswith("socket:["):
                        inodes.add(target[8:-1])
        except OSError:  # gone meanwhile, or owned by another user
            return
        if not inodes:
            return
        for name in ("tcp", "tcp6"):
            for inode, address in listening(self._text(f"{pid}/net/{name}")):
                if inode in inodes:
                    yield address

    def _local(self, pid: int) -> list[str]:
        """Addresses at which a socket of the process that listens on all of them is reached: of its own namespace,
        so that a pod's address leads to the pod's processes and to no others of the host."""
        found = {*local_ipv4(self._text(f"{pid}/net/fib_trie")), *local_ipv6(self._text(f"{pid}/net/if_inet6"))}
        return sorted(found)[:MAX_ADDRESSES]

    def _stat(self, pid: int) -> tuple[int, int, str] | None:
        """Start in clock ticks since boot, parent and name of a process; None once it is gone."""
        text = self._text(f"{pid}/stat")
        opening, closing = text.find("("), text.rfind(")")  # the name may hold spaces and parentheses
        columns = text[closing + 2 :].split()
        if opening < 0 or len(columns) < 20:
            return None
        return int(columns[19]), int(columns[1]), text[opening + 1 : closing]

    def _boot_time_ns(self) -> int:
        for line in self._text("stat").splitlines():
            if line.startswith("btime "):
                return int(line.split()[1]) * 1_000_000_000
        return 0

    def _in_host_namespace(self) -> bool:
        try:
            return os.readlink(self.root / "self/ns/pid") == HOST_PID_NAMESPACE
        except OSError:  # no /proc, as on macOS
            return False

    def _text(self, path: str) -> str:
        try:
            with (self.root / path).open("rb") as file:
                return file.read(MAX_TABLE_BYTES).decode("utf-8", "replace")
        except OSError:  # the process ended, or its file is not ours to read
            return ""


def _iso(milliseconds: int) -> str:
    whole, rest = divmod(milliseconds, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{rest:03d}Z"
