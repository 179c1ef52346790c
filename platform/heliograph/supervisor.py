"""Which processes make up a running Heliograph, written down for supervisord (https://supervisord.org).

`store` starts by itself, because everything else needs its tables; `setup` waits for it, migrates it, starts the
others and leaves. supervisord restarts whatever dies, waiting one second longer after each failed start.
"""

import configparser
import ctypes
import io
import os
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from xmlrpc.client import ServerProxy

from django.conf import settings
from django.utils.crypto import salted_hmac
from supervisor.xmlrpc import SupervisorTransport

# A process that keeps failing for an hour and a half needs a person; until then it is tried again.
START_RETRIES = 100
# sun_path holds 104 bytes on macOS and 108 on Linux, and a data folder can lie deeper than that.
MAX_SOCKET_PATH = 100
SOCKET_USER = "heliograph"


@dataclass(frozen=True, slots=True)
class Program:
    """One process: its name, its command and how long it may take to stop."""

    name: str
    command: list[str]
    priority: int
    stop_seconds: int = 15
    autostart: bool = False
    once: bool = False


def programs() -> list[Program]:
    """Return the processes of this installation, in the order in which they start; they stop in reverse."""
    python = sys.executable
    result = []
    if settings.EMBEDDED_STORE:
        result.append(
            Program(
                "store",
                [
                    *(python, "-m", "heliograph.clickhouse.embedded", "--path", str(settings.STORE_DIR)),
                    *("--port", str(settings.STORE_PORT), "--password-file", str(settings.DATA_DIR / "store-password")),
                    *("--backups", str(settings.BACKUP_DIR)),
                    *(("--cold-endpoint", settings.COLD_ENDPOINT) if settings.COLD_ENDPOINT else ()),
                ],
                priority=1,
                stop_seconds=60,  # merges in flight are finished and the folder is closed
                autostart=True,
            )
        )
    celery = [python, "-m", "celery", "-A", "heliograph"]
    # solo: one process, no fork after torch is loaded; production starts its own workers with its own pools.
    worker = [*celery, "worker", "--pool", "solo", "--loglevel", settings.LOG_LEVEL, "--without-mingle"]
    worker += ["--without-gossip", "--hostname"]
    result += [
        Program("setup", [python, "-m", "heliograph.cli", "start_processes"], priority=2, autostart=True, once=True),
        Program("collector", [python, "-m", "heliograph.ingest"], priority=10, stop_seconds=30),
        Program("web", [python, "-m", "heliograph.asgi"], priority=20),
        Program(
            "worker",
            [*worker, "worker@%h", "--queues", settings.CELERY_TASK_DEFAULT_QUEUE],
            priority=30,
            stop_seconds=30,
        ),
        Program(
            "evaluator",
            [*worker, "evaluator@%h", "--queues", settings.EVALUATIONS_QUEUE],
            priority=31,
            stop_seconds=30,
        ),
        Program(
            "beat",
            [*celery, "beat", "--pidfile", ""],
            priority=40,
        ),
    ]
    # Idle until there is a target, so that one that is added later needs no restart.
    result.append(Program("scraper", [python, "-m", "heliograph.scrape"], priority=45))
    if _nvml_answers():
        # Its key is in the environment where one is needed: `up` put it there.
        endpoint = f"http://{settings.LOCAL_HOST}:{settings.OTLP_HTTP_PORT}"
        result.append(Program("gpu-agent", [python, "-m", "gpu_agent", "--wait", "--endpoint", endpoint], priority=50))
    return result


def _nvml_answers() -> bool:
    """Say whether NVIDIA's management library is on this machine."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


def socket_path() -> Path:
    """Return where supervisord listens for `setup`; only this user may connect."""
    path = settings.DATA_DIR / "supervisor.sock"
    if len(str(path).encode()) <= MAX_SOCKET_PATH:
        return path
    return Path(tempfile.gettempdir()) / f"heliograph-{os.getuid()}-{zlib.crc32(str(path).encode()):x}.sock"


def _socket_password() -> str:
    """Return the password of the control socket: the same in `up`, which writes it, and in `setup`, which uses it."""
    return salted_hmac("heliograph.supervisor", SOCKET_USER).hexdigest()


def render() -> str:
    """Return the configuration of supervisord."""
    log_dir = settings.DATA_DIR / "logs"
    config = configparser.RawConfigParser()
    config["supervisord"] = {
        "nodaemon": "true",
        "logfile": str(log_dir / "supervisord.log"),
        "pidfile": str(settings.DATA_DIR / "supervisord.pid"),
        "identifier": "heliograph",
        "minfds": "1024",
        # The terminal is for what needs a person: which process died, and the greeting of `setup`.
        "loglevel": "warn",
        # Named where it is root anyway (a container), or supervisord asks for it at every start.
        **({"user": "root"} if os.getuid() == 0 else {}),
    }
    config["unix_http_server"] = {
        "file": str(socket_path()),
        "chmod": "0700",
        "username": SOCKET_USER,
        "password": _socket_password(),
    }
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for program in programs():
        section = {
            "command": " ".join(_quoted(word) for word in program.command),
            "priority": str(program.priority),
            "autostart": str(program.autostart).lower(),
            "autorestart": "false" if program.once else "true",
            "startsecs": "0" if program.once else "2",
            "startretries": "0" if program.once else str(START_RETRIES),
            "stopwaitsecs": str(program.stop_seconds),
            "stopasgroup": "false",
            "killasgroup": "true",
            "redirect_stderr": "true",
            # `setup` talks to the person at the terminal, the others to their files.
            "stdout_logfile": greeting_file() if program.once else str(log_dir / f"{program.name}.log"),
            "stdout_logfile_maxbytes": "0" if program.once else "20MB",
            "stdout_logfile_backups": "3",
        }
        config[f"program:{program.name}"] = section
    # A percent sign starts an expansion in supervisord's own format.
    text = io.StringIO()
    config.write(text)
    return text.getvalue().replace("%", "%%")


def greeting_file() -> str:
    """Return where `setup` writes: to whoever started this, or to a file where that cannot be opened by its name.

    A service's output is a socket of the journal, which has no name to open; then supervisord would start nothing.
    """
    try:
        os.close(os.open("/dev/stdout", os.O_WRONLY | os.O_APPEND))
    except OSError:
        return str(settings.DATA_DIR / "logs" / "setup.log")
    return "/dev/stdout"


def _quoted(word: str) -> str:
    """Quote one word the way supervisord's shlex reads it back; an empty one stays a word."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def control() -> ServerProxy:
    """Return a connection to the supervisord that runs this installation."""
    transport = SupervisorTransport(SOCKET_USER, _socket_password(), f"unix://{socket_path()}")
    # The address is only a placeholder: the transport connects to the socket.
    return ServerProxy("http://127.0.0.1", transport=transport)
