"""docs/settings.md and the settings say the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    ROOT / "platform/heliograph/settings.py",
    ROOT / "platform/heliograph/management/commands/setup.py",
]


def test_every_environment_variable_is_documented_and_no_other() -> None:
    pattern = r'env\.\w+\(\s*"([A-Z_]+)"'
    read = {name for path in SOURCES for name in re.findall(pattern, path.read_text(encoding="utf-8"))}
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([A-Z_]+)`", page, re.MULTILINE))
    assert read == documented


def check(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HELIOGRAPH_DATA_DIR": str(tmp_path)} | variables
    command = [sys.executable, str(ROOT / "manage.py"), "check"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_good_settings_pass_the_checks(tmp_path: Path) -> None:
    result = check(tmp_path)
    assert result.returncode == 0, result.stderr


def test_every_bad_value_is_explained_at_once(tmp_path: Path) -> None:
    result = check(tmp_path, HELIOGRAPH_PORT="eighty", HELIOGRAPH_DEBUG="maybe", HELIOGRAPH_LOG_FORMAT="xml")
    assert result.returncode == 1
    for expected in ("HELIOGRAPH_PORT='eighty'", "HELIOGRAPH_DEBUG='maybe'", "console, json", "heliograph.E001"):
        assert expected in result.stderr


def test_an_open_door_is_warned_about(tmp_path: Path) -> None:
    result = check(tmp_path, HELIOGRAPH_HOST="0.0.0.0", HELIOGRAPH_ALLOW_KEYLESS_INGEST="true")
    assert "heliograph.W001" in result.stderr


def test_a_bucket_for_old_weeks_that_a_server_never_asks_is_warned_about(tmp_path: Path) -> None:
    # Empty: what other tests leave in the environment names a store.
    bucket = {"HELIOGRAPH_COLD_BUCKET": "old-weeks", "HELIOGRAPH_CLICKHOUSE_URL": ""}
    server = bucket | {"HELIOGRAPH_CLICKHOUSE_URL": "clickhouse://heliograph@ch.example.com/heliograph"}
    assert "HELIOGRAPH_COLD_POLICY" in check(tmp_path, **server).stderr
    for fine in (bucket, server | {"HELIOGRAPH_COLD_POLICY": "tiered"}):
        assert "heliograph.W002" not in check(tmp_path, **fine).stderr


def test_caps_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    result = check(tmp_path, HELIOGRAPH_MAX_BODY_BYTES="1000000", HELIOGRAPH_MAX_DECOMPRESSED_BYTES="5000")
    assert "heliograph.E003" in result.stderr


def test_a_token_for_metrics_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    assert "heliograph.E006" in check(tmp_path, HELIOGRAPH_METRICS_TOKEN="metrics").stderr


def test_a_secret_can_come_from_a_mounted_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-the-file\n", encoding="utf-8")
    script = "import heliograph.settings as s; print(s.SECRET_KEY)"
    environment = os.environ | {"HELIOGRAPH_DATA_DIR": str(tmp_path), "HELIOGRAPH_SECRET_KEY_FILE": str(secret)}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "from-the-file"


def test_the_generated_secret_is_private_and_stable(tmp_path: Path) -> None:
    script = "import heliograph.settings as s; print(s.SECRET_KEY)"
    environment = os.environ | {"HELIOGRAPH_DATA_DIR": str(tmp_path)}
    first, second = (
        subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    )
    assert first == second
    assert (tmp_path / "secret-key").stat().st_mode & 0o077 == 0


def setting(tmp_path: Path, name: str, **variables: str) -> str:
    script = f"import sys; sys.path.insert(0, 'platform'); from heliograph import settings; print(settings.{name})"
    environment = os.environ | {"HELIOGRAPH_DATA_DIR": str(tmp_path / "data")} | variables
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=ROOT)
    return result.stdout.strip()


@pytest.mark.parametrize(
    ("variables", "allowed"),
    [
        ({}, "True"),
        ({"HELIOGRAPH_BASE_URL": "http://127.0.0.1:9000"}, "True"),
        ({"HELIOGRAPH_HOST": "0.0.0.0"}, "False"),
        # A proxy on this machine makes everybody look local.
        ({"HELIOGRAPH_BASE_URL": "https://traces.example.org"}, "False"),
        ({"HELIOGRAPH_BASE_URL": "http://[nonsense"}, "False"),
    ],
)
def test_exports_without_a_key_are_for_one_s_own_machine(
    tmp_path: Path, variables: dict[str, str], allowed: str
) -> None:
    assert setting(tmp_path, "ALLOW_KEYLESS_INGEST", **variables) == allowed


def test_the_data_folder_is_its_owner_s_only_where_every_secret_is_given(tmp_path: Path) -> None:
    given = {"HELIOGRAPH_SECRET_KEY": "s" * 50, "HELIOGRAPH_CLICKHOUSE_URL": "clickhouse://store"}
    setting(tmp_path, "DATA_DIR", **given)
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
