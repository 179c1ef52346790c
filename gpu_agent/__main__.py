"""`python -m gpu_agent`: read the GPUs of this host and send their metrics as OTLP."""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from gpu_agent import host
from gpu_agent.agent import Agent, Settings
from gpu_agent.amd import AmdProvider
from gpu_agent.apple import AppleProvider
from gpu_agent.demo import DemoProvider
from gpu_agent.export import Exporter, HttpSender
from gpu_agent.nvml import NvmlProvider
from gpu_agent.once import sample_once
from gpu_agent.otlp import Encoder
from gpu_agent.processes import ProcessTable
from gpu_agent.provider import Provider

EPILOG = """exit codes: 0 stopped or sent; 1 not sent; 2 wrong arguments;
3 no GPU library or driver here (without --wait);
4 driver and library differ in version: start a new process"""


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="heliograph-gpu-agent", description=__doc__, epilog=EPILOG)
    add = result.add_argument
    add("--endpoint", help="base address of the OTLP/HTTP server (OTEL_EXPORTER_OTLP_ENDPOINT, http://localhost:4318)")
    add("--api-key", help="key of the project, better given as HELIOGRAPH_API_KEY: arguments show in the process list")
    add("--interval", type=_seconds(0.1, 60), default=1.0, help="seconds between fast readings (0.1 to 60, default 1)")
    add(
        "--export-interval",
        type=_seconds(0.1, 300),
        help="seconds between exports (default: 5, or --interval if longer)",
    )
    add(
        "--wait",
        action="store_true",
        help="keep trying while there is no GPU library or driver, instead of exit code 3",
    )
    add("--once", action="store_true", help="read everything once, send it, and leave")
    add("--demo", action="store_true", help="play a scripted host with eight GPUs instead of reading real ones")
    add(
        "--no-gpm",
        action="store_true",
        help="leave the performance monitor (SM and tensor activity) to another program",
    )
    default = "apple" if sys.platform == "darwin" else "nvidia"
    add("--provider", choices=["nvidia", "amd", "apple"], default=default, help="whose GPUs; amd and apple are untried")
    add("--proc", type=Path, help="/proc of the host, where this process does not share its PID namespace")
    add("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent; returns the exit code (see EPILOG)."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    export_interval = options.export_interval or max(5.0, options.interval)
    settings = Settings(options.interval, export_interval, wait=options.wait)
    try:
        sender = HttpSender(host.endpoint(os.environ, options.endpoint), host.headers(os.environ, options.api_key))
    except ValueError as error:
        logging.getLogger("gpu_agent").error("%s", error)
        return 2
    exporter = Exporter(sender)
    encoder = Encoder(host.resource_attributes(os.environ), time.time_ns())
    provider = _provider(options)
    if options.once:
        return sample_once(provider, encoder, exporter, settings)
    agent = Agent(provider, encoder, exporter, settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        # In a thread: the handler interrupts the main thread, which may hold the lock that `stop` needs.
        signal.signal(number, lambda *_: threading.Thread(target=agent.stop).start())
    return agent.run()


def _provider(options: argparse.Namespace) -> Provider:
    if options.demo:
        return DemoProvider()
    if options.provider == "apple":
        return AppleProvider(options.interval)
    processes = ProcessTable(options.proc)
    return AmdProvider(processes) if options.provider == "amd" else NvmlProvider(processes, gpm=not options.no_gpm)


class _seconds:  # noqa: N801  # reads as a type in add_argument and in its messages
    """An argument type: seconds within bounds."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> float:
        value = float(text)
        if not self._low <= value <= self._high:
            raise argparse.ArgumentTypeError(f"{text} is not between {self._low:g} and {self._high:g} seconds")
        return value


if __name__ == "__main__":
    sys.exit(main())
