"""`heliograph up` comes up whatever its output is: a terminal, a pipe, or the socket of a service's journal."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ASK = """
import sys, django
django.setup()
from heliograph import supervisor
sections = [line for line in supervisor.render().splitlines() if line.startswith("stdout_logfile =")]
open(sys.argv[1], "w").write("\\n".join(sections))
"""


def log_files(folder: Path, output: int) -> str:
    """What supervisord is told to write to, by a process with that output."""
    answer = folder / "answer"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "heliograph.settings", "HELIOGRAPH_DATA_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", ASK, str(answer)], stdout=output, env=environment, check=True)
    return answer.read_text(encoding="utf-8")


def test_the_greeting_goes_to_a_file_where_the_output_is_a_socket_that_has_no_name(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = log_files(tmp_path, theirs.fileno())
    assert f"stdout_logfile = {tmp_path}/logs/setup.log" in found
    assert "/dev/stdout" not in found


def test_the_greeting_goes_to_whoever_reads_a_pipe(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    try:
        found = log_files(tmp_path, writes)
    finally:
        os.close(reads)
        os.close(writes)
    assert "stdout_logfile = /dev/stdout" in found
