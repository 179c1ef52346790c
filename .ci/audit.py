"""pip-audit over what `make run` installs: exit 1 where a package has a known vulnerability.

The vulnerabilities come from OSV, over the network, and pip-audit from the package index. Where one of them cannot be
reached nothing is known, so this says that it was skipped and exits 0; with --strict it exits 2, for a place where the
network is a given.

pip-audit is installed into a virtual environment of its own, and only once the service answers: what audits is not part
of what is audited.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import venv
from http.client import HTTPException
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SERVICE = "https://api.osv.dev/"
REACH_SECONDS = 5
AUDIT_SECONDS = 900
AUDITED = Path(os.environ.get("VENV", ROOT / ".venv"))


def is_reachable() -> bool:
    """Say whether the service answers, whatever it says; through a proxy where one is set, as pip-audit goes."""
    try:
        urllib.request.urlopen(SERVICE, timeout=REACH_SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, HTTPException):
        return False
    return True


def requirements() -> str:
    """Return what is installed and is no part of the tests, a line each, as `name==version`."""
    listed = "from heliograph.management.commands.sbom import shipped; print(*shipped(), sep=chr(10))"
    command = [str(AUDITED / "bin/python"), "-c", listed]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT / "platform").stdout


def is_installed(python: Path) -> bool:
    """Install pip-audit beside a new interpreter, and say whether that went well; pip has said why not."""
    venv.create(python.parents[1], with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pip-audit>=2.9,<3"]
    try:
        return subprocess.run(install, check=False, timeout=AUDIT_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def audit(folder: Path, python: Path) -> int:
    """Return pip-audit's exit status."""
    asked = folder / "requirements.txt"
    asked.write_text(requirements(), encoding="utf-8")
    command = [str(python), "-m", "pip_audit", "--vulnerability-service", "osv", "--no-deps", "--disable-pip"]
    return subprocess.run([*command, "-r", str(asked)], check=False, timeout=AUDIT_SECONDS).returncode


def main(given: list[str]) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strict", action="store_true", help="exit 2 where it cannot be asked")
    strict = parser.parse_args(given).strict
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "venv/bin/python")
        if not is_reachable():
            lacks = f"{SERVICE} cannot be reached"
        elif not is_installed(python):
            lacks = "pip-audit cannot be installed"
        else:
            return audit(Path(folder), python)
    print(f"AUDIT SKIPPED: {lacks}, so nothing is known of vulnerabilities.", flush=True)
    return 2 if strict else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
