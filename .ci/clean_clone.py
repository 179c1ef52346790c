"""Clone the repository, run `make run` as a newcomer would, send a trace, read it back, stop with Ctrl-C.

Fails with the output and the logs when any step does not happen within its bound.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

INSTALL_SECONDS = 1500  # pip fetches about 2 GB on a machine without its cache
RESTART_SECONDS = 300  # seconds where nothing else runs; a bound of a hang only
STOP_SECONDS = 180
ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(clone: Path, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    log.write_bytes(b"")
    # Appending, since several processes write to it, as they do to a terminal.
    with log.open("ab") as output:
        return subprocess.Popen(
            ["make", "run"], cwd=clone, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


def wait_for_greeting(process: subprocess.Popen[bytes], log: Path, seconds: int) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        text = log.read_text(encoding="utf-8", errors="replace")
        if "Heliograph is up" in text and "Ctrl-C stops everything" in text:
            return text
        if process.poll() is not None:
            raise SystemExit(f"make run ended with {process.returncode}:\n{text}")
        time.sleep(0.5)
    raise SystemExit(f"make run did not come up within {seconds} s:\n{log.read_text(errors='replace')}")


def call(url: str, body: bytes | None = None, content_type: str = "application/json", **headers: str) -> bytes:
    request = urllib.request.Request(url, data=body, headers={"content-type": content_type, **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def send_a_trace(port: str) -> str:
    trace_id = os.urandom(16).hex()
    now = time.time_ns()
    span = {
        "traceId": trace_id,
        "spanId": os.urandom(8).hex(),
        "name": "chat gpt-4o-mini",
        "startTimeUnixNano": str(now - 10**9),
        "endTimeUnixNano": str(now),
        "attributes": [{"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o-mini"}}],
    }
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    call(f"http://127.0.0.1:{port}/v1/traces", json.dumps(body).encode())
    return trace_id


def stop(process: subprocess.Popen[bytes], log: Path) -> None:
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"Ctrl-C did not stop everything within {STOP_SECONDS} s:\n{log.read_text()}") from None


def no_process_is_left(clone: Path) -> None:
    left = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if str(clone) in command:
            left.append(command)
    if left:
        raise SystemExit("still running after Ctrl-C:\n" + "\n".join(left))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "heliograph"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        names = ("HELIOGRAPH_PORT", "HELIOGRAPH_OTLP_HTTP_PORT", "HELIOGRAPH_OTLP_GRPC_PORT", "HELIOGRAPH_STORE_PORT")
        ports = {name: str(free_port()) for name in names}
        environment = os.environ | ports | {"PYTHONUNBUFFERED": "1"}
        log = Path(folder) / "output"
        first_start = time.monotonic()
        process = start(clone, environment, log)
        try:
            greeting = wait_for_greeting(process, log, INSTALL_SECONDS)
            print(f"up {time.monotonic() - first_start:.0f} s after the clone")
            link = re.search(r"https?://\S*/login/link\S*", greeting)
            if link is None or b"Sign out" not in open_link(link.group()):
                raise SystemExit(f"the one-time link does not let anybody in:\n{greeting}")
            trace_id = send_a_trace(ports["HELIOGRAPH_OTLP_HTTP_PORT"])
            for path in ("healthz", "readyz"):
                call(f"http://127.0.0.1:{ports['HELIOGRAPH_PORT']}/{path}")
        finally:
            stop(process, log)
        no_process_is_left(clone)
        second_start = time.monotonic()
        process = start(clone, environment, log)
        try:
            greeting = wait_for_greeting(process, log, RESTART_SECONDS)
            print(f"up {time.monotonic() - second_start:.0f} s after the second start")
            link = re.search(r"https?://\S*/login/link\S*", greeting)
            page = open_link(link.group(), f"/p/default/traces/{trace_id}") if link else b""
            if b"chat gpt-4o-mini" not in page:
                raise SystemExit("the trace that was acknowledged before the restart is not shown after it")
        finally:
            stop(process, log)
        no_process_is_left(clone)
    print("a clean clone comes up, keeps its data over a restart and stops")


def open_link(link: str, then: str = "") -> bytes:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    page = opener.open(link, timeout=30).read()
    if then:
        page = opener.open("/".join(link.split("/")[:3]) + then, timeout=30).read()
    return page


if __name__ == "__main__":
    sys.exit(main())
