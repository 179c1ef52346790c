"""Builds the compiled kernel where a C compiler is, in place, for editable installs and wheels alike.

`python hatch_build.py` builds it by hand and says what went wrong. Without a compiler, or without Python's headers, the
install succeeds and Python alone decodes (docs/adr/0020).
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

FOLDER = Path("collectors", "kernel")
NAME = "_native"
# A compiler that hangs must not hang the install; it takes some seconds.
SECONDS = 300


def target(root: Path) -> Path:
    """Return where the extension of this interpreter stands."""
    return root / FOLDER / (NAME + (sysconfig.get_config_var("EXT_SUFFIX") or ".so"))


def command(root: Path, out: Path) -> list[str]:
    """Return the compiler's command line."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    folder = root / FOLDER
    link = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    flags = ["-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wno-missing-field-initializers"]
    flags += shlex.split(os.environ.get("CFLAGS", ""))
    include = ["-I", sysconfig.get_path("include")]
    return [*compiler, *flags, *include, *map(str, sorted(folder.glob("*.c"))), *link, "-o", str(out)]


def build(root: Path) -> str:
    """Build the kernel; return why that could not be done, "" where it was."""
    out = target(root)
    # Replaced whole: a process that runs keeps the one it has loaded.
    draft = out.with_name(f"{out.name}.{os.getpid()}.draft")
    try:
        done = subprocess.run(command(root, draft), capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode:
        draft.unlink(missing_ok=True)
        return done.stderr or f"the compiler ended with {done.returncode}"
    draft.replace(out)
    return ""


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand where hatchling is not installed
    pass
else:

    class KernelHook(BuildHookInterface):  # type: ignore[type-arg]  # the argument is the builder's configuration
        """Runs before each wheel and editable install."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Build the kernel; a wheel that has it fits one interpreter on one platform only."""
            if self.target_name != "wheel":
                return
            root = Path(self.root)
            problem = build(root)
            if problem:
                self.app.display_warning(f"The compiled kernel was not built, Python decodes instead: {problem}")
                return
            if version == "standard":
                built = target(root)
                build_data["pure_python"] = False
                build_data["infer_tag"] = True
                build_data["force_include"][str(built)] = str(FOLDER / built.name)


def main() -> int:
    """Build it here."""
    root = Path(__file__).resolve().parent
    problem = build(root)
    if problem:
        print(f"The kernel could not be built: {problem}", file=sys.stderr)
        return 1
    print(target(root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
