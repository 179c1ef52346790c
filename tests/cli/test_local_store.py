"""`keys`, `users` and `doctor`: what concerns this machine and its own database."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from heliograph.accounts.models import ApiKey, Membership, Organization, Project, User
from heliograph.cli.checkup import machine
from tests.cli.conftest import Cli


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    call_command(*arguments, "--json")
    return json.loads(capsys.readouterr().out)


def test_a_key_is_created_listed_without_its_secret_and_revoked(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(capsys, "keys", "create", "CI", "--project", project.slug)
    assert ApiKey.project_of(made["key"]) == project
    (listed,) = run(capsys, "keys", "list", "--project", project.slug)
    assert made["key"] not in json.dumps(listed)
    assert run(capsys, "keys", "revoke", str(made["id"]))["revoked_at"]
    assert ApiKey.project_of(made["key"]) is None
    with pytest.raises(CommandError, match="There are: "):
        call_command("keys", "create", "CI", "--project", "nowhere")


def test_a_person_is_created_with_a_link_that_lets_in_until_deactivated(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    Organization.objects.create(name="Other")
    with pytest.raises(CommandError, match="Acme, Other"):
        call_command("users", "create", "bob")
    made = run(capsys, "users", "create", "bob", "--organization", "Acme", "--role", "editor")
    assert Membership.objects.get(user__username="bob").role == "editor"
    assert made["organizations"] == ["Acme (editor)"]
    path = made["login_link"].split("/", 3)[3]
    run(capsys, "users", "deactivate", "bob")
    assert "_auth_user_id" not in _sign_in(path)
    run(capsys, "users", "activate", "bob")
    assert "_auth_user_id" in _sign_in(path)
    assert not User.objects.get(username="bob").is_superuser


def _sign_in(path: str) -> Any:
    client = Client()
    client.get(f"/{path}")
    return client.session


def test_migrate_brings_both_databases_up_to_date_and_may_be_run_again(cli: Cli) -> None:
    said = cli("migrate").output
    assert "No migrations to apply" in said
    assert "The store is up to date" in said
    # With arguments it is Django's own command, for one of its databases.
    assert "store" not in cli("migrate", "alerts", "--plan").output


def test_agent_passes_its_arguments_on_and_ends_with_the_agents_code(offline: Cli) -> None:
    assert "--export-interval" in offline("agent", "--help").output
    assert "0.1" in offline("agent", "--interval", "0", code=2).output


def findings(result: Any) -> dict[str, dict[str, str]]:
    return {each["check"]: each for each in json.loads(result.stdout)}


def test_doctor_knows_a_good_server_a_wrong_key_and_one_that_is_away(cli: Cli, offline: Cli) -> None:
    good = findings(cli("doctor", "--only", "server", "--json"))
    assert good["server"]["state"] == good["clock"]["state"] == "ok"
    wrong = findings(cli("doctor", "--only", "server", "--json", code=1, HELIOGRAPH_API_KEY="hg_wrong"))
    assert (wrong["key"]["state"], "keys create" in wrong["key"]["mend"]) == ("failure", True)
    away = findings(offline("doctor", "--only", "server", "--json", code=1))
    assert "heliograph up" in away["server"]["mend"]


def test_doctor_says_which_parts_of_the_platform_to_mend(tmp_path: Path) -> None:
    environment = {**os.environ, "HELIOGRAPH_DATA_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {"HELIOGRAPH_STORE_PORT": "1", "HELIOGRAPH_CLICKHOUSE_URL": ""}
    command = [sys.executable, "-m", "heliograph.cli", "doctor", "--only", "platform", "--json"]
    (tmp_path / "local-key").write_text("hg_x")
    (tmp_path / "local-key").chmod(0o644)
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=360)
    assert result.returncode == 1, result.stderr
    found = findings(result)
    assert found["broker"]["state"] == "ok"
    assert (found["store"]["state"], found["store"]["mend"]) == ("failure", "Run heliograph up.")
    assert (found["metadata"]["state"], found["metadata"]["mend"]) == ("failure", "Run: heliograph migrate")
    assert "chmod 600" in found["secrets"]["mend"]
    result = subprocess.run(
        command, env={**environment, "HELIOGRAPH_PORT": "x"}, capture_output=True, text=True, check=False, timeout=360
    )
    assert "HELIOGRAPH_PORT" in findings(result)["settings"]["said"]


class Nvml:
    """NVML as it fails."""

    class NVMLError(Exception):
        """The library's own."""

    def __init__(self, said: str) -> None:
        self.said = said

    def nvmlInit(self) -> None:  # noqa: N802  # the library's name
        raise self.NVMLError(self.said)


@pytest.mark.parametrize(
    ("said", "state", "mend"),
    [
        ("Driver/library version mismatch", "failure", "reboot"),
        ("Driver Not Loaded", "failure", "modprobe"),
        ("Insufficient Permissions", "failure", "--gpus all"),
        ("NVML Shared Library Not Found", "skipped", ""),
    ],
)
def test_doctor_tells_a_broken_driver_from_no_gpu(
    monkeypatch: pytest.MonkeyPatch, said: str, state: str, mend: str
) -> None:
    monkeypatch.setattr(machine.importlib, "import_module", lambda name: Nvml(said))
    (found,) = machine.gpu()
    assert found.state == state
    assert mend in found.mend


def test_doctor_warns_of_a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = type("Usage", (), {"free": 2**29, "total": 2**40})
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    (found,) = machine.disk(tmp_path / "not yet" / "there")
    assert (found.state, "HELIOGRAPH_DATA_DIR" in found.mend) == ("failure", True)
