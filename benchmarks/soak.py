"""`python benchmarks/soak.py [--minutes 60] [--rate 100]`: is everything there exactly once after an hour of accidents?

The whole platform as `make run` starts it, in a folder of its own on a small disk, senders of all three signals at a
steady rate that send each body until it is acknowledged, and somebody who opens one page after another. Meanwhile, by
a seed: `kill -9` of each process and of all at once as a power cut does, a store that hangs, a disk that is full, and
a clock that jumps. At the end what the senders counted, the ledger, and the rows and sums of the store have to agree
(tests/faults/once.py), every page has to open, and neither memory nor file handles may have grown. The exit status says
whether all of it held.

`--calm` is the last part, in which nothing is killed any more: a process that is started anew each few minutes would
show no leak. Needs Linux; for the full disk the right to mount a file system, without which it is left out.
"""

import argparse
import contextlib
import itertools
import os
import random
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")

import django  # noqa: E402  # the path comes first
from django.urls import reverse  # noqa: E402  # as above
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402  # as above

from benchmarks.ingest import cpu_seconds, prose, resident_bytes  # noqa: E402  # as above
from benchmarks.pages import PAGES  # noqa: E402  # as above
from benchmarks.steady import thirds  # noqa: E402  # as above
from tests.faults.load import ITEMS, SPANS, Load, Sender, Sent, traces  # noqa: E402  # as above
from tests.faults.once import is_balanced, is_once  # noqa: E402  # as above
from tests.faults.test_clocks import SHIFTED, Clock  # noqa: E402  # as above
from tests.ingest.books import books  # noqa: E402  # as above
from tests.ingest.stack import Stack, Tenant, eventually  # noqa: E402  # as above
from tests.journeys import conftest as journeys  # noqa: E402  # as above
from tests.journeys.test_processes import process  # noqa: E402  # as above

NAMES = ("store", "collector", "web", "worker", "evaluator", "beat", "scraper")
# The supervisor: its handles, and the memory of it and all its children.
ALL = "all together"
TRACE_SENDERS = 4
# Beside each 100 spans a second: requests of 8 points and 8 records.
OTHERS_SECONDS = 1.0
CHARACTERS = 1_450
TEXTS = 200
DISK_BYTES = 6 * 2**30
SAMPLE_SECONDS = 5
# What a fault may disturb: a start of everything on two busy cores.
AFTER_SECONDS = 120
BACK_SECONDS = 600
# What is killed no more for less long than this is not judged.
JUDGED_SECONDS = 600
# A process fills caches and pools; what goes on beyond that is a leak. The engine holds three handles for each of its
# threads (`/proc/self/task/N/stat`, `schedstat`, `io`), and keeps as many threads as it had at its busiest.
MEMORY_GROWTH, HANDLES_GROWTH, FEW_HANDLES = 1.15, 1.1, 10


@dataclass
class Life:
    """One process from its start to its end: memory and handles, seconds after its start."""

    pid: int
    samples: list[tuple[float, float, int]] = field(default_factory=list)


class Watch(threading.Thread):
    """Looks at every process of the platform, by its name."""

    def __init__(self, platform: "Running") -> None:
        super().__init__(daemon=True)
        self.platform = platform
        self.stopping = threading.Event()
        self.lives: dict[str, list[Life]] = defaultdict(list)
        self.started = time.monotonic()
        self.cpu: dict[int, float] = {}

    def run(self) -> None:
        while not self.stopping.wait(SAMPLE_SECONDS):
            for name, pid in self.platform.pids().items():
                # It may end meanwhile.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    memory, handles = resident_bytes(pid, "VmRSS") / 2**20, len(os.listdir(f"/proc/{pid}/fd"))
                    self.cpu[pid] = cpu_seconds(pid)
                    if not self.lives[name] or self.lives[name][-1].pid != pid:
                        self.lives[name].append(Life(pid))
                    self.lives[name][-1].samples.append((time.monotonic() - self.started, memory, handles))

    def print_flatness(self, calm_from: float) -> bool:
        """Print memory and handles by thirds, and how the calm part moved; say whether that is flat."""
        is_flat = True
        for name, lives in self.lives.items():
            everything = [sample for life in lives for sample in life.samples]
            memory, handles = (thirds([each[column] for each in everything]) for column in (1, 2))
            of_memory, of_handles = (", ".join(f"{each:,.0f}" for each in values) for values in (memory, handles))
            print(f"{name:<12} {len(lives):>2} lives; by thirds: memory {of_memory} MiB; handles {of_handles}")
            calm = [sample for sample in lives[-1].samples if sample[0] >= calm_from]
            if len(calm) * SAMPLE_SECONDS < JUDGED_SECONDS:  # pools and caches are still filling
                continue
            (_, first, last), (_, few, many) = (thirds([each[column] for each in calm]) for column in (1, 2))
            flat = last <= first * MEMORY_GROWTH and many <= few * HANDLES_GROWTH + FEW_HANDLES
            is_flat &= flat
            print(
                f"{'':<12} while nothing was killed: second to last third {first:,.0f} to {last:,.0f} MiB, "
                f"{few:,.0f} to {many:,.0f} handles: {'flat' if flat else 'GROWS'}"
            )
        return is_flat


class Reader(threading.Thread):
    """Opens page after page, as somebody who is signed in."""

    def __init__(self, platform: "Running", paths: list[str]) -> None:
        super().__init__(daemon=True)
        self.platform, self.paths = platform, paths
        self.stopping = threading.Event()
        # (seconds of the clock, path, status or 0, seconds that it took)
        self.opened: list[tuple[float, str, int, float]] = []

    def run(self) -> None:
        with self.platform.signed_in() as web:
            for path in itertools.cycle(self.paths):
                if self.stopping.wait(0.5):
                    return
                self.open(web, path)

    def open(self, web: httpx.Client, path: str) -> int:
        at, status = time.monotonic(), 0
        with contextlib.suppress(httpx.TransportError):
            status = web.get(path).status_code
        self.opened.append((at, path, status, time.monotonic() - at))
        return status

    def faults(self, accidents: list[tuple[float, float, str]]) -> list[tuple[float, str, int, float]]:
        """Return what did not open though nothing had happened lately."""

        def is_disturbed(began: float, ended: float) -> bool:
            return any(start <= ended and began <= end + AFTER_SECONDS for start, end, _ in accidents)

        return [each for each in self.opened if each[2] != 200 and not is_disturbed(each[0], each[0] + each[3])]


class Running:
    """The platform, which may be started again, and what is known of it."""

    def __init__(self, folder: Path, clock: Path) -> None:
        self.folder = folder
        self.environment = journeys.make_environment(folder)
        # What the supervisor says goes to a terminal or a journal, not to the disk that gets full.
        (folder / "output").symlink_to(folder.parent / "output")
        (clock / "sitecustomize.py").write_text(SHIFTED)
        self.clock = Clock(clock / "clock")
        self.environment |= {"TESTS_CLOCK": str(self.clock.file), "PYTHONPATH": f"{clock}:{ROOT / 'platform'}:{ROOT}"}
        self.platform = journeys.start(folder, self.environment)
        key = journeys.create_key(self.platform)
        password = (folder / "store-password").read_text().strip()
        port = self.environment["HELIOGRAPH_STORE_PORT"]
        url = f"clickhouse://heliograph:{password}@127.0.0.1:{port}/heliograph"
        self.stack = Stack(folder, {"HELIOGRAPH_CLICKHOUSE_URL": url})
        self.stack.http, self.stack.web_http = self.platform.otlp, self.platform.base
        os.environ["HELIOGRAPH_DATA_DIR"] = str(folder)
        django.setup()
        self.tenant = Tenant(self._project(), key)

    def _project(self) -> int:
        from heliograph.accounts.models import Project  # noqa: PLC0415  # after django.setup()

        return Project.objects.get(slug="default").id

    def pids(self) -> dict[str, int]:
        found = {ALL: self.platform.process.pid}
        # While it is started anew, or has no room to answer.
        with contextlib.suppress(Exception):
            found |= {name: pid for name in NAMES if (pid := process(self.platform, name)["pid"])}
        return found

    @contextlib.contextmanager
    def signed_in(self) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=self.platform.base, follow_redirects=True, timeout=180) as web:
            web.get("/login")
            form = {"username": "admin", "password": journeys.PASSWORD, "csrfmiddlewaretoken": web.cookies["csrftoken"]}
            assert web.post("/login", data=form).status_code == 200
            yield web

    def is_well(self) -> bool:
        assert self.platform.process.poll() is None, "the supervisor ended"
        pids = self.pids()
        if not all(name in pids for name in NAMES):
            return False
        return _answers(f"{self.platform.base}/readyz") and _answers(f"{self.platform.otlp}/healthz")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.TransportError:
        return False


class Accidents:
    """What may happen, one after another, by a seed."""

    def __init__(self, running: Running, seed: int, *, has_small_disk: bool) -> None:
        self.running, self.random = running, random.Random(seed)
        self.kills: dict[str, Callable[[], None]] = {f"kill {name}": self._killer(name) for name in NAMES}
        self.kills["power cut"] = self.power_cut
        self.others: dict[str, Callable[[], None]] = {"slow store": self.slow_store, "clock jumps": self.clock_jumps}
        if has_small_disk:
            self.others["full disk"] = self.full_disk
        # (start, end, what)
        self.happened: list[tuple[float, float, str]] = []

    def go_on(self, seconds: float, every: float, *, with_kills: bool) -> None:
        """Let accidents happen for so long, one each `every` seconds in the mean; each round has each of them once."""
        deadline = time.monotonic() + seconds
        kinds = self.others | (self.kills if with_kills else {})
        while True:
            for name in self.random.sample(sorted(kinds), len(kinds)):
                pause = self.random.uniform(0.4, 1.6) * every
                if time.monotonic() + pause > deadline:
                    time.sleep(max(0.0, deadline - time.monotonic()))
                    return
                time.sleep(pause)
                began = time.monotonic()
                print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
                kinds[name]()
                self.happened.append((began, time.monotonic(), name))

    def _killer(self, name: str) -> Callable[[], None]:
        def kill() -> None:
            # It may be on its way up already.
            with contextlib.suppress(ProcessLookupError, KeyError):
                os.kill(self.running.pids()[name], signal.SIGKILL)

        return kill

    def power_cut(self) -> None:
        running = self.running
        # The supervisor first, or it would start again what goes.
        for pid in running.pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        running.platform.process.wait(60)
        time.sleep(2)
        running.platform = journeys.start(running.folder, running.environment)

    def slow_store(self) -> None:
        for _ in range(3):
            pid = self.running.pids().get("store")
            if pid is None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                time.sleep(self.random.uniform(1, 12))
                os.kill(pid, signal.SIGCONT)
            time.sleep(self.random.uniform(0.2, 2))

    def clock_jumps(self) -> None:
        self.running.clock.jump(self.random.choice((-3_600, 7_200, -40_000, 90)))
        time.sleep(self.random.uniform(5, 30))
        self.running.clock.jump(0)

    def full_disk(self) -> None:
        ballast = self.running.folder / "ballast"
        deadline = time.monotonic() + self.random.uniform(15, 40)
        try:
            with ballast.open("wb", buffering=0) as file:
                size, step = 0, 256 * 2**20
                while time.monotonic() < deadline:
                    try:
                        os.posix_fallocate(file.fileno(), size, step)
                        size += step
                    except OSError:
                        # What others free in the meantime is taken too.
                        step = max(4096, step // 2)
                        time.sleep(0.05)
        finally:
            ballast.unlink()


def chats(generator: random.Random) -> Callable[[str], tuple[bytes, Sent]]:
    """Return a maker of traces whose spans have a question and an answer, 2 KB in all, that no span had before."""
    texts = [prose(generator, CHARACTERS) for _ in range(TEXTS)]

    def make(sender: str) -> tuple[bytes, Sent]:
        body, sent = traces(sender)
        request = ExportTraceServiceRequest.FromString(body)
        for span in request.resource_spans[0].scope_spans[0].spans:
            text = f"{secrets.token_hex(8)} {generator.choice(texts)}"
            given = {
                "gen_ai.input.messages": text[: CHARACTERS * 3 // 4],
                "gen_ai.output.messages": text[CHARACTERS * 3 // 4 :],
                # Of which `PAGES` opens some.
                "gen_ai.response.model": "gpt-4o",
                "gen_ai.conversation.id": f"session-{generator.randrange(100)}",
                "user.id": f"user-{generator.randrange(100)}",
                "gen_ai.prompt.name": f"prompt-{generator.randrange(10)}",
            }
            for key, value in given.items():
                span.attributes.add(key=key).value.string_value = value
        return request.SerializeToString(), sent

    return make


def senders(running: Running, rate: float, seed: int) -> Load:
    """Return senders that send `rate` spans a second together, and points and records beside."""
    stack, tenant, make = running.stack, running.tenant, chats(random.Random(seed))
    each = SPANS * TRACE_SENDERS / rate
    made = [Sender(stack, tenant, "traces", f"sender {number}", make, each) for number in range(TRACE_SENDERS)]
    made += [Sender(stack, tenant, kind, f"sender of {kind}", seconds=OTHERS_SECONDS) for kind in ("metrics", "logs")]
    return Load(stack, tenant, made)


def paths_of(sent_trace: str) -> list[str]:
    """Return the address of every page over the last hour."""
    found = []
    for page, further in PAGES:
        one = page.startswith("trace") and page != "traces"
        values = ["default"] if page != "health" else []
        found.append(f"{reverse(page, args=[*values, sent_trace] if one else values)}?range=1h&{further}")
    return found


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield a data folder on a disk of its own, and whether it is on one."""
    data, image = folder / "data", folder / "disk.img"
    data.mkdir()
    image.touch()
    os.truncate(image, DISK_BYTES)
    commands = (["mkfs.ext4", "-q", "-m", "0", str(image)], ["mount", "-o", "loop", str(image), str(data)])
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no disk of its own, so none that is full: {error}")
        yield data, False
        return
    try:
        yield data, True
    finally:
        # Lazily: what was killed may not have let go yet.
        subprocess.run(["umount", "--lazy", data], check=True)


def print_load(load: Load, seconds: float) -> None:
    for kind, items in ITEMS.items():
        heard = load.answers(kind)
        print(
            f"{kind:<8} acknowledged {heard[200] * items:,} ({heard[200] * items / seconds:,.1f}/s) in {heard[200]:,} "
            f"requests; told to come back {heard[503]:,}"
        )
    print(f"requests without an answer {load.unanswered:,}, sent again until they had one")


def verdict(running: Running, load: Load, reader: Reader, accidents: Accidents) -> list[str]:
    """Compare what was acknowledged with what is there, and open each page once more; return what is wrong."""
    wrong = []
    stack, tenant = running.stack, running.tenant
    eventually(running.is_well, BACK_SECONDS)
    load.stop()
    eventually(lambda: not stack.spooled(), BACK_SECONDS)
    sent = Sent()
    for sender in load.senders:
        sent.add(sender.sent)
    try:
        is_once(stack, tenant, sent)
        spans = sum(map(len, sent.spans.values()))
        print(f"{spans:,} spans, {len(sent.points):,} points and {len(sent.records):,} records: each there once,")
        print("in the rows, in traces, in the rollups of a minute, and in what the ledger counts as stored")
    except AssertionError as error:
        wrong.append(f"rows or sums differ: {str(error)[:2000]}")
    for kind, items in ITEMS.items():
        found = books(stack, tenant, kind)
        acknowledged = load.answers(kind)[200] * items
        # Counts of seconds are lost with a process; a body whose answer did not arrive may be counted again.
        print(
            f"ledger, {kind}: accepted {found['accepted']:,} of {acknowledged:,}, stored {found['stored']:,}, "
            f"duplicates {found['duplicates']:,}, spooled {found['spooled']:,}, replayed {found['replayed']:,}"
            f"{'' if is_balanced(found) else ' (kills cost counts: not balanced)'}"
        )
        if found["accepted"] > acknowledged + load.unanswered * items or found["dead"]:
            wrong.append(f"the ledger invents {kind}, or has dead letters: {found}")
    with running.signed_in() as web:
        closed = [path for path in reader.paths if reader.open(web, path) != 200]
    if closed:
        wrong.append(f"pages that do not open at the end: {closed}")
    if refused := reader.faults(accidents.happened):
        wrong.append(f"pages that did not open though nothing had happened for {AFTER_SECONDS} s: {refused[:20]}")
    took = sorted(each[3] for each in reader.opened if each[2] == 200)
    statuses = Counter(each[2] for each in reader.opened)
    print(
        f"pages opened {len(took):,}, median {statistics.median(took):.2f} s, "
        f"p95 {took[len(took) * 95 // 100]:.2f} s; not opened meanwhile "
        f"{ {status: number for status, number in statuses.items() if status != 200} } (0: no answer)"
    )
    for (path, status), number in Counter((each[1], each[2]) for each in reader.opened if each[2] > 0).most_common():
        if status not in (200, 503):
            print(f"{number:>5} x {status} {path}")
    return wrong


def soak(running: Running, options: argparse.Namespace, *, has_small_disk: bool) -> list[str]:
    """Let it run; return what is wrong."""
    load = senders(running, options.rate, options.seed)
    watch, accidents = Watch(running), Accidents(running, options.seed, has_small_disk=has_small_disk)
    started = time.monotonic()
    load.start()
    eventually(lambda: load.senders[0].sent.spans)
    reader = Reader(running, paths_of(next(iter(load.senders[0].sent.spans))))
    watch.start()
    reader.start()
    calm = options.minutes * 60 * options.calm
    accidents.go_on(options.minutes * 60 - calm, options.every, with_kills=True)
    eventually(running.is_well, BACK_SECONDS)
    calm_from = time.monotonic() - watch.started
    print(f"{time.strftime('%H:%M:%S')} nothing is killed any more", flush=True)
    accidents.go_on(calm, options.every * 2, with_kills=False)
    seconds = time.monotonic() - started
    for thread in (reader, watch):
        thread.stopping.set()
        thread.join()
    wrong = verdict(running, load, reader, accidents)
    print_load(load, seconds)
    kinds = Counter(name for _, _, name in accidents.happened)
    print("accidents: " + ", ".join(f"{number} x {name}" for name, number in sorted(kinds.items())))
    print(f"processor time of the platform {sum(watch.cpu.values()) / seconds:.2f} cores in the mean")
    if not watch.print_flatness(calm_from):
        wrong.append("memory or handles grow")
    return wrong


def main() -> int:
    """Run, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--rate", type=float, default=100, help="spans a second (default: 100)")
    parser.add_argument("--every", type=float, default=45, help="seconds from accident to accident (default: 45)")
    parser.add_argument("--calm", type=float, default=1 / 3, help="the last part without kills (default: a third)")
    parser.add_argument("--seed", type=int, default=1, help="which accidents, and when (default: 1)")
    parser.add_argument("--keep", action="store_true", help="leave the folder where something is wrong")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="heliograph-soak-"))
    wrong = ["it did not come to its end"]
    running = None
    (folder / "clock").mkdir()
    try:
        with disk(folder) as (data, has_small_disk):
            try:
                running = Running(data, folder / "clock")
                wrong = soak(running, options, has_small_disk=has_small_disk)
            finally:
                if running is not None:
                    journeys.stop(running.platform)
                if wrong and options.keep:
                    shutil.copytree(data / "logs", folder / "logs")
    finally:
        if not (wrong and options.keep):
            shutil.rmtree(folder)
    for each in wrong:
        print(f"WRONG: {each}")
    print("held" if not wrong else "did not hold")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
