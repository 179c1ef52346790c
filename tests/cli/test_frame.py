"""How commands are found, how they answer people and programs, and how they fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from heliograph.cli.frame import api as api_module
from heliograph.cli.frame import management
from heliograph.cli.frame.output import plain
from tests.cli.conftest import Cli, Receiver

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, code: str = "from heliograph.cli import main; main()") -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=180)


def test_a_command_of_the_api_starts_without_django_and_the_store() -> None:
    code = "import sys\nfrom heliograph.cli import main\ntry:\n    main()\nexcept SystemExit: pass\n"
    code += "sys.exit(', '.join({'django', 'celery', 'torch', 'chdb', 'mcp'} & set(sys.modules)))"
    result = run("traces", "list", "--help", code=code)
    assert result.stderr.strip() == ""
    assert "--since" in result.stdout


def test_the_bare_sdk_says_what_to_install_for_each_half() -> None:
    code = "import sys; sys.modules['click'] = None; from heliograph.cli import main; main()"
    result = run("traces", "list", code=code)
    assert result.returncode == 1
    assert "heliograph[cli]" in result.stderr
    code = "import sys; sys.modules['django'] = None; from heliograph.cli import main; main()"
    result = run("up", code=code)
    assert result.returncode == 1
    assert "heliograph[server,evaluators]" in result.stderr


def test_management_commands_keep_their_names_arguments_and_texts() -> None:
    for name, text in management.TEXTS.items():
        assert load_command_class(get_commands()[name], name).help == text
    result = run("migrate_store", "--help")
    assert result.returncode == 0, result.stderr
    assert "--dry-run" in result.stdout
    assert run("no_such_command").returncode == 1


def test_completion_knows_commands_and_their_options() -> None:
    script = run("completion", "bash").stdout
    assert "_HELIOGRAPH_COMPLETE" in script
    code = (
        "import os; os.environ.update(_HELIOGRAPH_COMPLETE='bash_complete', COMP_WORDS='heliograph traces list --mo', "
    )
    code += "COMP_CWORD='3'); from heliograph.cli import main; main()"
    assert "--model" in run(code=code).stdout


def test_a_key_is_kept_where_its_owner_only_can_read_it(offline: Cli, tmp_path: Path) -> None:
    bare: dict[str, str | None] = {"HELIOGRAPH_URL": None, "HELIOGRAPH_API_KEY": None}
    offline("profile", "set", "--url", "http://127.0.0.1:9/", given="hg_100%secret\n")
    file = tmp_path / "heliograph" / "config.ini"
    assert file.stat().st_mode & 0o777 == 0o600
    shown = json.loads(offline("profile", "list", "--json", **bare).stdout)
    assert shown == [{"name": "default", "url": "http://127.0.0.1:9", "key": "hg_100%se…", "otlp_url": ""}]
    file.chmod(0o644)
    assert "chmod 600" in offline("profile", "list", code=2, **bare).output


def test_a_profiles_key_does_not_go_to_another_server(receiver: Receiver, offline: Cli) -> None:
    offline("profile", "set", "--url", "http://127.0.0.1:9", "--key", "hg_secret")
    offline("traces", "list", "--url", receiver.url, "--json", HELIOGRAPH_API_KEY=None)
    offline("profile", "set", "here", "--url", receiver.url, "--key", "hg_here")
    offline("traces", "list", "--profile", "here", "--json")
    assert [key for _, key in receiver.asked] == ["", "hg_here"]


def test_a_server_that_restarts_is_asked_again_and_one_that_stays_away_is_said(
    receiver: Receiver, offline: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(api_module.time, "sleep", waits.append)
    receiver.answers = [(503, {"Retry-After": "7"}, b"{}"), (429, {}, b"{}")]
    assert offline("traces", "list", "--url", receiver.url, "--json").exit_code == 0
    assert waits == [7.0, 2.0]
    assert "cannot be reached" in offline("traces", "list", code=4).output


def test_a_score_is_not_sent_twice_by_a_retry(receiver: Receiver, offline: Cli) -> None:
    receiver.answers = [(503, {}, b"{}")]
    offline("scores", "add", "helpful", "1", "--trace", "0" * 31 + "1", "--url", receiver.url, code=4)
    assert len(receiver.asked) == 1


def test_a_page_that_is_no_heliograph_is_named_as_such(receiver: Receiver, offline: Cli) -> None:
    receiver.answers = [(200, {}, b"<html>")]
    assert "is it Heliograph?" in offline("traces", "list", "--url", receiver.url, code=4).output


def test_texts_of_a_service_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[2J\x9b31m\u202eb\nc") == "a\ufffd[2J\ufffd31m\ufffdb c"
