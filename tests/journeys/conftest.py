"""The whole platform, started as `make run` starts it, and a browser in front of it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

UP_SECONDS = 480
STOP_SECONDS = 180
# Hashing a password takes a second alone, and a busy machine takes its time for every answer.
ANSWER_SECONDS = 180
# Playwright's own 5 s are for quiet machines.
expect.set_options(timeout=ANSWER_SECONDS * 1000)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PORTS = ("HELIOGRAPH_PORT", "HELIOGRAPH_OTLP_HTTP_PORT", "HELIOGRAPH_OTLP_GRPC_PORT", "HELIOGRAPH_STORE_PORT")
# Nobody takes mails there but the test that is about them.
MAIL_PORT = "HELIOGRAPH_SMTP_PORT"
PASSWORD = "correct horse battery staple"


@dataclass
class Platform:
    """A running platform."""

    base: str
    otlp: str
    grpc: str
    login_link: str
    process: subprocess.Popen[bytes]
    folder: Path
    environment: dict[str, str]
    api_key: str = ""

    def api(self, path: str, **parameters: Any) -> Any:
        """Return what the JSON API answers."""
        answer = httpx.get(
            f"{self.base}/api/v1/{path}", params=parameters, headers={"x-api-key": self.api_key}, timeout=ANSWER_SECONDS
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def logs(self) -> str:
        parts = [path.read_text(errors="replace")[-3000:] for path in (self.folder / "logs").glob("*.log")]
        return "\n".join([(self.folder / "output").read_text(errors="replace"), *parts])


def eventually(question: Callable[[], Any], seconds: float = 300) -> Any:
    """Return the first truthy answer; fail with the last one when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer or time.monotonic() > deadline:
            assert answer, f"not within {seconds} s: {answer!r}"
            return answer
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def start(folder: Path, environment: dict[str, str]) -> Platform:
    output = folder / "output"
    with output.open("ab") as stream:
        command = [sys.executable, "-m", "heliograph.cli", "up"]
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, start_new_session=True)
    already = len(output.read_bytes())
    greeting = ""

    def greeted() -> bool:
        nonlocal greeting
        greeting = output.read_bytes()[already:].decode(errors="replace")
        assert process.poll() is None, greeting
        return "Ctrl-C stops everything" in greeting

    eventually(greeted, UP_SECONDS)
    link = re.search(r"https?://\S*/login/link\S*", greeting)
    assert link is not None
    ports = {name: environment[name] for name in PORTS}
    return Platform(
        f"http://127.0.0.1:{ports['HELIOGRAPH_PORT']}",
        f"http://127.0.0.1:{ports['HELIOGRAPH_OTLP_HTTP_PORT']}",
        f"127.0.0.1:{ports['HELIOGRAPH_OTLP_GRPC_PORT']}",
        link.group().replace("localhost", "127.0.0.1"),
        process,
        folder,
        environment,
    )


def stop(platform: Platform) -> int:
    """Press Ctrl-C; return the exit status."""
    os.killpg(platform.process.pid, signal.SIGINT)
    return platform.process.wait(STOP_SECONDS)


def make_environment(folder: Path) -> dict[str, str]:
    """Return an environment of its own: free ports, a folder, quick evaluation, nothing of the caller's settings."""
    names = (*PORTS, MAIL_PORT)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HELIOGRAPH_", "DJANGO_"))}
    for name in ("DATABASE_URL", "CELERY_BROKER_URL"):
        clean.pop(name, None)
    return clean | {
        "HELIOGRAPH_DATA_DIR": str(folder),
        "HELIOGRAPH_EVALUATION_INTERVAL_SECONDS": "2",
        "HELIOGRAPH_ADMIN_PASSWORD": PASSWORD,
        # Model servers of tests are on this machine.
        "HELIOGRAPH_OUTGOING_NETWORKS": "127.0.0.0/8",
        "PYTHONUNBUFFERED": "1",
        "HELIOGRAPH_SMTP_HOST": "127.0.0.1",
        "HELIOGRAPH_SMTP_SECURITY": "none",
        **{name: str(port) for name, port in zip(names, free_ports(len(names)), strict=True)},
    }


def create_key(platform: Platform) -> str:
    """Create an API key the way a person does: sign in, fill the form, read the key."""
    with httpx.Client(base_url=platform.base, follow_redirects=True, timeout=ANSWER_SECONDS) as client:
        form = {"username": "admin", "password": PASSWORD}
        client.get("/login")
        form["csrfmiddlewaretoken"] = client.cookies["csrftoken"]
        assert client.post("/login", data=form).status_code == 200
        token = {"csrfmiddlewaretoken": client.cookies["csrftoken"], "name": "journey"}
        answer = client.post("/p/default/settings/keys", data=token)
    match = re.search(r'id="new-key">([^<]+)<', answer.text)
    assert match is not None, answer.text
    return match.group(1)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    running = start(folder, make_environment(folder))
    running.api_key = create_key(running)
    yield running
    status = stop(running)
    assert status == 0, running.logs()


# Not for the whole session: Playwright keeps an event loop running in this thread, and other tests start their own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium: apt-get install chromium")
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, platform: Platform) -> Iterator[Page]:
    """A fresh browser window. A script error, a failed request or a refusal by the content policy fails the test."""
    context = chromium.new_context(base_url=platform.base, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(ANSWER_SECONDS * 1000)
    window = context.new_page()
    faults: list[str] = []
    window.on("pageerror", lambda error: faults.append(str(error)))
    window.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    window.on("response", lambda answer: faults.append(answer.url) if answer.status >= 500 else None)
    yield window
    context.close()
    assert faults == []
