"""What an installation is made of: the bill of materials, and the audit of it."""

import importlib.util
import json
import re
import socket
import subprocess
import threading
import tomllib
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement

from heliograph.management.commands import sbom

ROOT = Path(__file__).resolve().parents[2]


def test_the_bill_of_materials_is_cyclonedx_and_the_same_each_time() -> None:
    text = json.dumps(sbom.document())
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert json.dumps(sbom.document()) == text


def test_it_names_what_is_asked_for_and_installed_and_nothing_of_the_tests() -> None:
    found = {each["purl"] for each in sbom.document()["components"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["server"], *extras["evaluators"]]:
        requirement = Requirement(text)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        try:
            assert f"pkg:pypi/{name}@{version(requirement.name)}" in found
        except PackageNotFoundError:
            continue
    names = {each["name"] for each in sbom.document()["components"]}
    assert names >= {"django", "asgiref", "torch", "echarts", "zrender"}
    assert not names & {"pytest", "ruff", "mypy", "axe-core", "heliograph"}


def test_each_part_of_it_is_needed_by_something_in_it_and_says_its_licence() -> None:
    document = sbom.document()
    needed = {ref for each in document["dependencies"] for ref in each["dependsOn"]}
    for each in document["components"]:
        assert each["bom-ref"] in needed
        assert each.get("licenses"), each["name"]


def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_audit_without_its_service_says_that_it_was_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = audit()

    def nobody(*_: Any, **__: Any) -> Any:
        raise urllib.error.URLError(socket.gaierror())

    monkeypatch.setattr(script.urllib.request, "urlopen", nobody)
    assert script.main([]) == 0
    assert "AUDIT SKIPPED" in capsys.readouterr().out
    assert script.main(["--strict"]) == 2


class Proxy(BaseHTTPRequestHandler):
    """Answers for a host that only it knows, as OSV does whoever asks for nothing in particular."""

    def do_GET(self) -> None:
        self.send_error(404 if self.path == "http://osv.invalid/" else 502)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_an_audit_asks_through_the_proxy_where_there_is_no_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    script = audit()
    monkeypatch.setattr(script, "SERVICE", "http://osv.invalid/")
    assert not script.is_reachable()
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        # It knows the proxies of when it was first asked.
        monkeypatch.setattr(urllib.request, "_opener", None)
        assert script.is_reachable()
        proxy.shutdown()


def test_an_audit_that_cannot_be_installed_is_skipped_and_finds_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = audit()

    def fails(command: list[str], check: bool, **_: Any) -> Any:
        if check:
            raise subprocess.CalledProcessError(1, command)
        return subprocess.CompletedProcess(command, 1)

    def hangs(command: list[str], timeout: int, **_: Any) -> Any:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(script, "is_reachable", lambda: True)
    monkeypatch.setattr(script.venv, "create", lambda *_, **__: None)
    for run in (fails, hangs):
        monkeypatch.setattr(script.subprocess, "run", run)
        assert script.main([]) == 0
        assert "AUDIT SKIPPED: pip-audit cannot be installed" in capsys.readouterr().out
        assert script.main(["--strict"]) == 2


def test_an_audit_that_finds_something_fails_and_asks_of_what_is_shipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = audit()
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, stdout="django==5.2\n")

    monkeypatch.setattr(script.subprocess, "run", run)
    assert script.audit(tmp_path, tmp_path / "venv/bin/python") == 1
    assert (tmp_path / "requirements.txt").read_text() == "django==5.2\n"
    assert {"pip_audit", "osv", "--no-deps"} <= set(asked[-1])
