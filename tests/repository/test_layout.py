"""What the layout of the repository promises."""

import platform
import subprocess
import sys
from pathlib import Path

import heliograph

ROOT = Path(__file__).resolve().parents[2]


def test_the_folder_platform_does_not_shadow_the_standard_library() -> None:
    assert Path(platform.__file__).name == "platform.py"
    assert platform.system()


def test_the_folder_platform_holds_exactly_the_product_package() -> None:
    entries = {entry.name for entry in (ROOT / "platform").iterdir() if entry.name != "__pycache__"}
    assert entries == {"heliograph"}


def test_no_package_marker_hides_in_the_tests() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_the_sdk_room_needs_opentelemetry_only() -> None:
    script = "import sys, heliograph.sdk; sys.exit(any(name in sys.modules for name in ('django', 'torch', 'chdb')))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_version_is_a_version() -> None:
    assert heliograph.__version__.count(".") == 2
