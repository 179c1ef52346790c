"""What the layout of the repository promises."""

import os
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


def test_the_pages_and_the_api_load_no_model_library() -> None:
    script = "import sys, django; django.setup(); from django.urls import get_resolver; get_resolver().url_patterns\n"
    script += "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'chdb')))"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DJANGO_SETTINGS_MODULE": "heliograph.settings",
    }
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == 0


def test_the_version_is_a_version() -> None:
    assert heliograph.__version__.count(".") == 2
