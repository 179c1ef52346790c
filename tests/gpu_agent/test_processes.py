"""Finding a process that holds a GPU: its container, its parents, the sockets on which its service listens."""

import os
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.processes import ProcessTable, container_of, listening, local_ipv4, local_ipv6
from tests.gpu_agent.support import h100s, until

CONTAINER = "4f" * 32
POD = "0a1b2c3d-1111-2222-3333-444455556666"
SLICE = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.replace('-', '_')}.slice"


@pytest.mark.parametrize(
    ("cgroup", "container", "pod"),
    [
        (f"0::/{SLICE}/cri-containerd-{CONTAINER}.scope", CONTAINER, POD),
        (f"0::/kubepods/besteffort/pod{POD}/{CONTAINER}", CONTAINER, POD),
        (f"12:memory:/docker/{CONTAINER}\n0::/", CONTAINER, ""),
        (f"0::/system.slice/docker-{CONTAINER}.scope", CONTAINER, ""),
        (f"0::/machine.slice/libpod-{CONTAINER}.scope/container", CONTAINER, ""),
        ("0::/user.slice/user-1000.slice/session-2.scope", "", ""),
        (f"0::/x/{'a' * 80}", "", ""),
        ("", "", ""),
    ],
)  # fmt: skip
def test_container_and_pod_come_from_the_cgroup(cgroup, container, pod):
    assert container_of(cgroup) == (container, pod)


@given(st.text(max_size=400))
def test_no_cgroup_text_breaks_the_parser(text):
    container, pod = container_of(text)
    assert len(container) in (0, 64)
    assert len(pod) in (0, 36)


@given(st.text(alphabet="0123456789ABCDEF: \n\tsl", max_size=300))
def test_no_socket_table_breaks_the_parser(text):
    for inode, address in listening(text):
        assert inode
        assert ":" in address


def test_listening_sockets_are_read_in_the_kernels_byte_order():
    tcp = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1\n"
        "   1: 0100007F:1F41 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n"
    )
    tcp6 = (
        "  sl  local_address                         remote_address                        st\n"
        "   0: 00000000000000000000000001000000:1F42 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 333 1\n"
    )
    assert list(listening(tcp)) == [("111", "127.0.0.1:8000")]
    assert list(listening(tcp6)) == [("333", "[::1]:8002")]


FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     +-- 10.244.0.0/16 2 0 2
        |-- 10.244.1.0
           /24 link UNICAST
        |-- 10.244.1.7
           /32 host LOCAL
        |-- 10.244.1.255
           /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
"""


def test_the_addresses_of_a_network_are_read_without_loopback_and_broadcast():
    assert list(local_ipv4(FIB_TRIE)) == ["10.244.1.7"]
    tables = (
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fe800000000000000042acfffe110002 02 40 20 80     eth0\n"
        "fd000000000000000000000000000007 02 40 00 80     eth0\n"
    )
    assert list(local_ipv6(tables)) == ["fd00::7"]


@given(st.text(alphabet="|-0123456789abcdef./ \nLOCAL", max_size=300))
def test_no_address_table_breaks_the_parser(text):
    assert all(local_ipv4(text))
    assert all(local_ipv6(text))


def test_a_wildcard_socket_is_reached_at_the_addresses_of_the_process_own_network(tmp_path):
    fake_proc(tmp_path, 77, start=100)
    for name in ("fd", "net"):
        (tmp_path / "77" / name).mkdir()
    (tmp_path / "77" / "fd" / "3").symlink_to("socket:[42]")
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    row = "   0: {}:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1\n"
    (tmp_path / "77" / "net" / "tcp").write_text(head + row.format("00000000"))
    (tmp_path / "77" / "net" / "fib_trie").write_text(FIB_TRIE)
    links = dict(ProcessTable(tmp_path).describe(77).links)
    assert links == {"gpu.process.listen": "0.0.0.0:8000", "gpu.process.addresses": "10.244.1.7"}
    (tmp_path / "77" / "net" / "tcp").write_text(head + row.format("0100007F"))
    assert "gpu.process.addresses" not in dict(ProcessTable(tmp_path).describe(77).links)


def test_this_process_is_described_with_start_name_and_socket():
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = ProcessTable(Path("/proc")).describe(os.getpid())
        attributes, links = dict(found.attributes), dict(found.links)
        assert f"127.0.0.1:{server.getsockname()[1]}" in str(links["gpu.process.listen"]).split(",")
    assert attributes["process.pid"] == os.getpid()
    started = datetime.fromisoformat(str(attributes["process.creation.time"])).timestamp()
    assert time.time() - 3600 < started < time.time() + 2
    assert str(os.getppid()) in str(links["gpu.process.parent_pids"]).split(",")


def test_a_process_that_is_gone_is_just_its_pid():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    found = ProcessTable(Path("/proc")).describe(ended.pid)
    assert found.attributes == (("process.pid", ended.pid),)
    assert not found.links


def fake_proc(root: Path, pid: int, start: int, name: str = "python3") -> None:
    folder = root / str(pid)
    folder.mkdir(exist_ok=True)
    folder.joinpath("stat").write_text(f"{pid} ({name}) S 1 " + " ".join(["0"] * 17) + f" {start} 0 0")
    root.joinpath("stat").write_text("btime 1700000000\n")


def test_a_reused_pid_is_another_process(tmp_path):
    fake_proc(tmp_path, 77, start=100, name="first")
    table = ProcessTable(tmp_path)
    first = dict(table.describe(77).attributes)
    fake_proc(tmp_path, 77, start=500, name="odd ) name (")
    second = dict(table.describe(77).attributes)
    assert first["process.creation.time"] == "2023-11-14T22:13:21.000Z"
    assert second["process.creation.time"] == "2023-11-14T22:13:25.000Z"
    assert second["process.executable.name"] == "odd ) name ("


def test_in_a_pid_namespace_of_its_own_nothing_is_guessed(tmp_path, monkeypatch):
    fake_proc(tmp_path, 77, start=100)
    (tmp_path / "self" / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns" / "pid").symlink_to("pid:[4026532999]")
    monkeypatch.setattr("gpu_agent.processes.DEFAULT_ROOT", tmp_path)
    assert ProcessTable().describe(77).attributes == (("process.pid", 77),)
    assert len(ProcessTable(tmp_path).describe(77).attributes) > 1


SERVER = """
import socket, subprocess, sys
server = socket.create_server(("127.0.0.1", 0))
worker = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(server.getsockname()[1], worker.pid, flush=True)
sys.stdin.read()
worker.stdin.close()
worker.wait()
"""


def test_a_worker_leads_to_the_address_on_which_its_parent_listens(fake_nvml, scenario, start, otlp):
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as engine:
        assert engine.stdout is not None
        port, worker = map(int, engine.stdout.readline().split())
        world = h100s(1) | {"process.0": f"{worker}:8000000", "process_sample.0": f"{worker}:55:20:0:101"}
        agent = start(fake_nvml, scenario(world))
        until(lambda: otlp.points("gpu.process.utilization"), why=lambda: agent.log)
        info = otlp.points("gpu.process.info", process_pid=worker)[0].attributes
        assert f"127.0.0.1:{port}" in info["gpu.process.listen"].split(",")
        assert info["gpu.process.parent_pids"].split(",")[0] == str(engine.pid)
        memory = otlp.points("gpu.process.memory", process_pid=worker)[0]
        assert memory.value == 8_000_000
        assert memory.attributes["process.creation.time"] == info["process.creation.time"]
        assert otlp.last("gpu.process.utilization", process_pid=worker, hw_gpu_task="general") == pytest.approx(0.55)
        assert not otlp.points("gpu.process.utilization", hw_gpu_task="decoder")  # 101 % is the driver's garbage
        agent.stop()
        engine.communicate()


def test_a_gpu_without_processes_reports_none_and_no_error(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(1)))
    until(lambda: otlp.points("hw.errors"), why=lambda: agent.log)
    assert not otlp.points("gpu.process.info")
    assert not otlp.points("gpu.agent.read.errors")


def test_memory_that_the_driver_does_not_tell_is_absent(fake_nvml, scenario, start, otlp):
    agent = start(fake_nvml, scenario(h100s(1) | {"process.0": "1"}))
    until(lambda: otlp.points("gpu.process.info", process_pid=1), why=lambda: agent.log)
    assert not otlp.points("gpu.process.memory")
