"""The command line beside a real server, on a port of its own."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from heliograph.accounts.models import ApiKey, Organization, Project
from heliograph.cli.frame.root import root


class Cli:
    """Runs commands in this process, as a user with a server and a key in the environment."""

    def __init__(self, url: str, key: str, home: Path) -> None:
        self.environment = {
            "HELIOGRAPH_URL": url,
            "HELIOGRAPH_API_KEY": key,
            "XDG_CONFIG_HOME": str(home),
            "COLUMNS": "300",
        }

    def __call__(self, *arguments: str, code: int = 0, given: str = "", **environment: str | None) -> Result:
        result = CliRunner().invoke(root, arguments, env={**self.environment, **environment}, input=given)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").stdout)


@pytest.fixture
def project(transactional_db: None, project_id: int) -> Project:
    """As the fixture of that name, in a database that the server's threads see."""
    organization = Organization.objects.create(name="Acme")
    return Project.objects.create(id=project_id, organization=organization, name="Shop", slug=f"shop-{project_id}")


@pytest.fixture
def cli(store: str, project: Project, live_server: Any, tmp_path: Path) -> Cli:
    return Cli(live_server.url, ApiKey.issue(project, "test")[1], tmp_path)


@pytest.fixture
def stranger(store: str, project: Project, live_server: Any, tmp_path: Path) -> Cli:
    """Somebody with a key of another project on the same server."""
    organization = Organization.objects.create(name="Elsewhere")
    other = Project.objects.create(
        id=project.pk + 2**31, organization=organization, name="Else", slug=f"else-{project.pk}"
    )
    return Cli(live_server.url, ApiKey.issue(other, "test")[1], tmp_path / "stranger")


@pytest.fixture
def offline(tmp_path: Path) -> Callable[..., Result]:
    """Commands that ask nobody: the address leads nowhere."""
    return Cli("http://127.0.0.1:9", "hg_none", tmp_path)


class Receiver:
    """An HTTP server that notes what it is asked and answers as told, else with an empty page."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers.get("x-api-key", "")))
                self.rfile.read(int(self.headers.get("content-length", 0)))
                page = (200, {}, b'{"items": [], "next_cursor": null}')
                status, headers, body = outer.answers.pop(0) if outer.answers else page
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815  # the base class's name

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join(5)
