"""`python -m heliograph.clickhouse.embedded`: the store of a machine without a ClickHouse server."""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from heliograph.clickhouse.embedded.engine import default_memory_bytes
from heliograph.clickhouse.embedded.errors import EngineError
from heliograph.clickhouse.embedded.server import HOST, Server


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m heliograph.clickhouse.embedded", description=__doc__)
    parser.add_argument("--path", type=Path, required=True, help="the folder of the store; made if absent")
    parser.add_argument("--port", type=int, default=19000, help="on 127.0.0.1; 0 takes a free one (default: 19000)")
    parser.add_argument("--password-file", type=Path, help="file with the password; without one it is empty")
    parser.add_argument(
        "--max-memory", type=int, default=default_memory_bytes(), metavar="BYTES", help="for the whole engine"
    )
    parser.add_argument("--backups", type=Path, help="the folder that BACKUP and RESTORE may use, as disk `backups`")
    parser.add_argument("--cold-endpoint", default="", metavar="URL", help="a bucket and prefix for the oldest weeks")
    parser.add_argument("--port-file", type=Path, help="written with the port once connections are accepted")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s store: %(message)s")
    password = arguments.password_file.read_text(encoding="utf-8").strip() if arguments.password_file else ""
    try:
        server = Server(
            arguments.path,
            arguments.port,
            password,
            arguments.max_memory,
            arguments.backups,
            arguments.cold_endpoint,
        )
    except (EngineError, OSError) as error:
        logging.critical("Cannot start on port %s with folder %s: %s", arguments.port, arguments.path, error)
        return 1
    if server.damaged:
        logging.error("Damaged, put aside in `detached` of their tables: %s", ", ".join(server.damaged))
        # The engine's notes of inserts still name them, which only a start that does not find them takes back: what
        # was not answered would be dropped as repeated when it is sent again.
        os.execv(sys.executable, [sys.executable, "-m", "heliograph.clickhouse.embedded", *sys.argv[1:]])  # noqa: S606  # this program
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    logging.info("Ready on %s:%s with folder %s", HOST, server.port, arguments.path)
    if arguments.port_file:
        draft = arguments.port_file.with_suffix(".draft")
        draft.write_text(str(server.port), encoding="utf-8")
        draft.replace(arguments.port_file)
    server.serve()
    logging.info("Closed")
    return 0


if __name__ == "__main__":
    code = main()
    # A query that would not be cancelled must not hold the process; the engine is closed, or as safe as after kill -9.
    logging.shutdown()
    os._exit(code)
