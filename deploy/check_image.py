"""`python3 deploy/check_image.py`: the steps of deploy/Dockerfile in a clean Debian folder, where Docker cannot run.

Reads the Dockerfile itself, so that it cannot drift: FROM is a fresh debootstrap of that release, RUN a shell in a
chroot, COPY a copy, ENV, ARG, USER and WORKDIR what they say. Then the image's own user asks the image for its version
and for its commands, the image is started by its own ENTRYPOINT and CMD until it is ready, and ended as Docker ends it,
and the size is printed. Needs root, debootstrap, and what pip and apt-get need here.
"""

import argparse
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = Path(__file__).with_name("Dockerfile")
# A first start makes both databases.
START_SECONDS, STOP_SECONDS = 300, 120
KNOWN = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "RUN", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
_BASE = re.compile(r"debian:(?P<release>[a-z]+)-slim(?:\s+AS\s+(?P<name>\w+))?", re.IGNORECASE)
# The builder's own authorities, where a proxy stands before the registries.
HOST_CERTIFICATES = "/tmp/host-certificates.crt"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass
class Stage:
    """One FROM and what follows it."""

    release: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)


def read(text: str) -> list[Stage]:
    """Return the stages of a Dockerfile. Raises ValueError for an instruction or a base that is not understood."""
    stages: list[Stage] = []
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    for instruction in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        word, _, rest = instruction.strip().partition(" ")
        if word not in KNOWN:
            raise ValueError(f"{word} is not known here: {instruction}")
        if word == "FROM":
            match = _BASE.fullmatch(rest.strip())
            if match is None:
                raise ValueError(f"only a slim Debian can be made here, not {rest}")
            stages.append(Stage(match["release"], match["name"] or ""))
        else:
            stages[-1].steps.append((word, " ".join(rest.split()) if word != "RUN" else rest.strip()))
    return stages


class Runner:
    """One stage's folder; `done` are those of the stages before it."""

    def __init__(self, folder: Path, arguments: dict[str, str], done: dict[str, Path]) -> None:
        self.folder, self.arguments, self.done = folder, arguments, done
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.workdir, self.user = "/", ""
        self.command: dict[str, list[str]] = {}

    def step(self, word: str, rest: str) -> None:
        """Do what one instruction says."""
        if word == "ARG":
            name, _, default = rest.partition("=")
            self.environment[name] = self.arguments.get(name, default)
        elif word == "ENV":
            self.environment |= dict(pair.split("=", 1) for pair in shlex.split(self._filled(rest)))
        elif word == "WORKDIR":
            self.workdir = rest
            (self.folder / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "USER":
            self.user = rest
        elif word in ("ENTRYPOINT", "CMD"):
            self.command[word] = json.loads(rest)
        elif word == "COPY":
            self._copy(rest)
        elif word == "RUN":
            self.run("sh", "-c", rest)

    def line(self, command: list[str], environment: dict[str, str]) -> list[str]:
        """Return how a command is run inside, as the stage's user, with nothing of this machine's environment."""
        user = [f"--userspec={self.user}"] if self.user else []
        given = self.environment | environment
        line = ["chroot", *user, str(self.folder), "env", "-i", *(f"{k}={v}" for k, v in given.items())]
        return [*line, "sh", "-c", 'cd "$0" && exec "$@"', self.workdir, *command]

    def run(self, *command: str) -> str:
        """Run a command inside; return what it printed."""
        # What this machine's pip and apt-get need to reach their registries is the builder's, not the image's.
        environment = {name: value for name, value in os.environ.items() if _is_for_registries(name)}
        environment |= dict.fromkeys(("PIP_CERT", "NODE_EXTRA_CA_CERTS"), HOST_CERTIFICATES)
        line = self.line(list(command), environment | {"DEBIAN_FRONTEND": "noninteractive"})
        done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"FAILED: {' '.join(command)}\n{done.stdout[-4000:]}")
        return done.stdout

    def _filled(self, text: str) -> str:
        return _VARIABLE.sub(lambda match: self.environment.get(match[1], ""), text)

    def _copy(self, rest: str) -> None:
        words = rest.split()
        target = self.folder / self.workdir.lstrip("/") / words[-1].lstrip("/") if words[-1] == "." else None
        if words[0].startswith("--from="):
            source = self.done[words[0].removeprefix("--from=")] / words[1].lstrip("/")
            shutil.copytree(source, self.folder / words[-1].lstrip("/"), symlinks=True)
            return
        assert target is not None  # our Dockerfile copies the whole context
        ignored = ignored_names()
        for name in tracked():
            if not any(fnmatch.fnmatch(name, pattern) or name.startswith(f"{pattern}/") for pattern in ignored):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target / name)


def _is_for_registries(name: str) -> bool:
    return "proxy" in name.lower() or name in {"PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "NPM_CONFIG_REGISTRY"}


def ignored_names() -> list[str]:
    return DOCKERFILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8").split()


def tracked() -> Iterator[str]:
    """Yield the files that git knows: what lies about in a checkout is no part of an image."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return (name for name in listed.split("\0") if name and (ROOT / name).is_file())


def debian(release: str, cache: Path) -> Path:
    """Return a tarred minimal Debian, made once."""
    tar = cache / f"{release}.tar"
    if not tar.exists():
        folder = cache / release
        mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
        command = ["debootstrap", "--variant=minbase", release, str(folder), mirror]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["tar", "-C", str(folder), "-cf", str(tar), "."], check=True)
        shutil.rmtree(folder)
    return tar


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--folder", type=Path, help="kept afterwards; a temporary one otherwise")
    given = parser.parse_args()
    if os.geteuid() or not shutil.which("debootstrap"):
        raise SystemExit("needs root and debootstrap (apt-get install debootstrap)")
    arguments = dict(each.split("=", 1) for each in given.build_arg)
    work = given.folder or Path(tempfile.mkdtemp(prefix="heliograph-image-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        image = build(work, arguments)
        files = [path for path in image.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        print(f"image: {sum(path.stat().st_size for path in files) / 2**20:.0f} MiB in {len(files)} files")
        if arguments.get("EXTRAS") != "gpu":
            print(image.run("heliograph", "--version").strip())
            print(image.run("heliograph", "check").strip())
            image.run("python3", "-c", "from collectors import kernel; assert kernel.active(), kernel.MISSING")
            start(image, work)
        assert image.run("id", "-u").strip() != "0", "the image's user is root"
    finally:
        _unmount(work)
        if given.folder is None:
            shutil.rmtree(work)


def start(image: Runner, work: Path) -> None:
    """Have the image come up by its own command, be ready, and end on the signal that Docker sends."""
    names = ("HELIOGRAPH_PORT", "HELIOGRAPH_OTLP_HTTP_PORT", "HELIOGRAPH_OTLP_GRPC_PORT", "HELIOGRAPH_STORE_PORT")
    ports = {name: str(_free_port()) for name in names}
    # Docker mounts both.
    for kind in ("proc", "sysfs"):
        place = image.folder / {"proc": "proc", "sysfs": "sys"}[kind]
        subprocess.run(["mount", "-t", kind, kind, str(place)], check=True)
    subprocess.run(["mount", "--rbind", "/dev", str(image.folder / "dev")], check=True)
    log = work / "output"
    command = image.command["ENTRYPOINT"] + image.command["CMD"]
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(image.line(command, ports), stdout=output, stderr=subprocess.STDOUT)
    try:
        while not _answers(f"http://127.0.0.1:{ports['HELIOGRAPH_PORT']}/readyz"):
            if process.poll() is not None or time.monotonic() > began + START_SECONDS:
                said = log.read_text(encoding="utf-8", errors="replace")[-4000:]
                raise SystemExit(f"FAILED: {' '.join(command)} is not ready ({process.poll()}):\n{said}")
            time.sleep(0.5)
        print(f"ready {time.monotonic() - began:.0f} s after its start")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)
    print(f"ended by SIGTERM with {process.returncode}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _unmount(work: Path) -> None:
    """Take away what an interrupted debootstrap left mounted: whoever removes the folder would reach into /proc."""
    lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    for place in sorted((line.split()[1] for line in lines if line.split()[1].startswith(f"{work}/")), reverse=True):
        subprocess.run(["umount", place], check=True)


def build(work: Path, arguments: dict[str, str]) -> Runner:
    """Do every step of every stage; return the last stage."""
    done: dict[str, Path] = {}
    runner: Runner | None = None
    for number, stage in enumerate(read(DOCKERFILE.read_text(encoding="utf-8"))):
        folder = work / f"stage-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        subprocess.run(["tar", "-C", str(folder), "-xf", str(debian(stage.release, work))], check=True)
        shutil.copyfile("/etc/resolv.conf", folder / "etc/resolv.conf")
        shutil.copyfile("/etc/ssl/certs/ca-certificates.crt", folder / HOST_CERTIFICATES.lstrip("/"))
        runner = Runner(folder, arguments, done)
        for word, rest in stage.steps:
            print(f"[{stage.name or 'image'}] {word} {rest[:100]}", flush=True)
            runner.step(word, rest)
        done[stage.name] = folder
    assert runner is not None  # a Dockerfile has a stage
    return runner


if __name__ == "__main__":
    main()
