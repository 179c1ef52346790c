"""What `pip install heliograph` puts on a machine."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    (built,) = folder.glob("heliograph-*.whl")
    return built


def test_the_wheel_holds_all_that_runs_and_nothing_of_the_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "heliograph/sdk/__init__.py",
        "heliograph/package-lock.json",
        "heliograph/templates/base.html",
        "heliograph/static/css/app.css",
        "heliograph/clickhouse/schema/0001_spans.sql",
        "heliograph/py.typed",
        "collectors/otlp/traces.py",
        "evaluators/weights/groundedness-minilm.safetensors",
        "gpu_agent/__main__.py",
    ):
        assert needed in names
    assert not any(name.startswith(("platform/", "tests/")) for name in names)


def test_the_sdk_runs_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = "import heliograph.sdk, sys; print(heliograph.__file__); sys.exit('django' in sys.modules)"
    # -I keeps the checkout and its editable install's folder out of the way of the extracted wheel.
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {script}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert str(tmp_path) in result.stdout


def test_the_wheel_brings_the_kernel_that_was_built_with_it(wheel: Path, tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = "from collectors import kernel; print(kernel.active().__file__)"
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {script}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert str(tmp_path) in result.stdout
    assert "-none-any" not in wheel.name


def test_without_a_compiler_the_install_succeeds_and_python_decodes(tmp_path: Path) -> None:
    kernel = tmp_path / "collectors" / "kernel"
    shutil.copytree(ROOT / "collectors" / "kernel", kernel, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (tmp_path / "collectors" / "__init__.py").touch()
    environment = {**os.environ, "CC": str(tmp_path / "no-such-compiler")}
    build = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import hatch_build, pathlib; "
    build += "print(hatch_build.build(pathlib.Path.cwd()) or 'built')"
    said = subprocess.run(
        [sys.executable, "-c", build], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "no-such-compiler" in said.stdout
    script = "from collectors import kernel; print(kernel.active(), '|', kernel.MISSING)"
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {script}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert result.stdout.startswith("None | ")
    assert "_native" in result.stdout
