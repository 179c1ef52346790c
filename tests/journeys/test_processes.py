"""The processes of `heliograph up`: one that dies is named and started again, and nothing acknowledged is lost."""

import configparser
import os
import signal
from contextlib import closing
from typing import Any
from xmlrpc.client import ProtocolError, ServerProxy

import httpx
import pytest
from supervisor.xmlrpc import SupervisorTransport

from tests.journeys.conftest import Platform, eventually
from tests.journeys.test_from_sender_to_verdict import RIGHT, send_answer


def process(platform: Platform, name: str) -> dict[str, Any]:
    """Ask supervisord, the way `setup` does."""
    config = configparser.RawConfigParser()
    config.read(platform.folder / "supervisord.conf")
    server = config["unix_http_server"]
    transport = SupervisorTransport(server["username"], server["password"], f"unix://{server['file']}")
    with closing(transport):
        info = ServerProxy("http://127.0.0.1", transport=transport).supervisor.getProcessInfo(name)
    assert isinstance(info, dict)
    return info


@pytest.mark.parametrize("name", ["collector", "web", "store"])
def test_a_process_that_is_killed_comes_back_and_is_named(platform: Platform, name: str) -> None:
    trace_id = send_answer(platform, RIGHT)
    before = process(platform, name)["pid"]
    os.kill(before, signal.SIGKILL)
    eventually(
        lambda: process(platform, name)["pid"] not in {0, before} and process(platform, name)["statename"] == "RUNNING"
    )
    assert f"exited: {name}" in (platform.folder / "output").read_text()
    eventually(lambda: answers(f"{platform.base}/readyz"))
    eventually(lambda: answers(f"{platform.otlp}/healthz"))
    assert platform.api(f"traces/{trace_id}")["summary"]["span_count"] == 3


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_a_stranger_on_this_machine_cannot_steer_the_processes(platform: Platform) -> None:
    config = configparser.RawConfigParser()
    config.read(platform.folder / "supervisord.conf")
    transport = SupervisorTransport("heliograph", "a guess", f"unix://{config['unix_http_server']['file']}")
    with closing(transport), pytest.raises(ProtocolError, match="401"):
        ServerProxy("http://127.0.0.1", transport=transport).supervisor.getState()
