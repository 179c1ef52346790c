"""What each page asks of the store, and what that costs: processor time of the engine by page and by question.

Fills an embedded store of its own as `query.py` does, signs somebody in, and opens each page over the last 24 hours:
once to warm the caches, then so many times more. `engine` and `web` are processor time, which other work on the machine
disturbs less than the clock (`wall`, the median); under a page stand its questions of at least some milliseconds, asked
one after another in runs of their own, where the page asks several at once.

    python benchmarks/pages.py [--spans 1000000] [--runs 4] [--only models prompt] [--least 8] [--keep FOLDER]

With `--keep` the store stays in that folder, and a later run with it opens the pages over that store.
"""

import argparse
import importlib.util
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

# The page, its name as an address, and what the address says beside the range.
PAGES = (
    *(
        ("overview", ""),
        ("overview", "compare=1"),
        ("overview", "latency=map"),
        ("traces", ""),
        ("traces", "service=checkout"),
        ("trace", ""),
    ),
    *(("trace-neighbours", ""), ("trace-where", ""), ("sessions", ""), ("sessions-one", "id=session-77")),
    *(("sessions-users", ""), ("sessions-user", "id=user-77"), ("models", ""), ("models-one", "model=gpt-4o")),
    *(("models-prompts", ""), ("models-prompt", "name=prompt-7"), ("models-documents", ""), ("gpus", "")),
    *(("gpus-engines", ""), ("gpus-slow", ""), ("gpus-training", ""), ("attribution", ""), ("evaluations", "")),
    *(("evaluation-rules", ""), ("alerts", ""), ("ingest", ""), ("settings", ""), ("settings-conventions", "")),
    ("health", ""),
)


IDLE_SECONDS = 10


def _queries() -> ModuleType:
    """Load `query.py` by its path: this folder on the module path would hide packages of the same names."""
    spec = importlib.util.spec_from_file_location("benchmarks_query", Path(__file__).with_name("query.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmarks_query"] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def listening(module: Any, clock: Callable[[], float]) -> Iterator[list[tuple[str, float]]]:
    """Yield the list to which each question's tag and milliseconds of the engine are added; `clock` in seconds."""
    heard: list[tuple[str, float]] = []
    names = ("query", "query_columns", "execute_unscoped")
    real = {name: getattr(module, name) for name in names}

    def heard_too(ask: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: Any, **options: Any) -> Any:
            began = clock()
            try:
                return ask(*args, **options)
            finally:
                heard.append((options.get("tag", ""), (clock() - began) * 1_000))

        return asked

    for name, ask in real.items():
        setattr(module, name, heard_too(ask))
    try:
        yield heard
    finally:
        for name, ask in real.items():
            setattr(module, name, ask)


@contextmanager
def one_by_one() -> Iterator[None]:
    """Let a page ask its questions one after another inside: beside each other none could be told its own cost."""

    def submit(_: ThreadPoolExecutor, question: Callable[..., Any], *args: Any, **options: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        answer.set_result(question(*args, **options))
        return answer

    real = ThreadPoolExecutor.submit
    ThreadPoolExecutor.submit = submit  # type: ignore[assignment,method-assign]  # a future that is done is one too
    try:
        yield
    finally:
        ThreadPoolExecutor.submit = real  # type: ignore[method-assign]  # as it was


def engine_clock(store_pid: int) -> Callable[[], float]:
    """Return a clock of the seconds of processor time that the store spends on questions.

    What it spends anyway, on its own housekeeping, is taken off: on a loaded machine a question takes seconds.
    """
    own = (~store_pid << 3) | 2  # the processor time of another process, clock_getcpuclockid(3)
    began, at = time.clock_gettime(own), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    idle = (time.clock_gettime(own) - began) / (time.perf_counter() - at)
    print(f"the store spends {idle * 1_000:.1f} ms a second on its own, which is left out")
    return lambda: time.clock_gettime(own) - idle * time.perf_counter()


def report(web: Client, name: str, address: str, runs: int, least: float, clock: Callable[[], float]) -> None:
    """Open one page and print what it costs."""
    from heliograph.clickhouse import client  # noqa: PLC0415  # after django.setup()

    answer = web.get(address)
    if answer.status_code != 200:
        print(f"{name:34} answered {answer.status_code}")
        return
    walls, began, web_began = [], clock(), time.process_time()
    for _ in range(runs):
        at = time.perf_counter()
        web.get(address)
        walls.append((time.perf_counter() - at) * 1_000)
    engine, own = ((now - then) * 1_000 / runs for now, then in ((clock(), began), (time.process_time(), web_began)))
    with one_by_one(), listening(client, clock) as heard:
        for _ in range(runs):
            web.get(address)
    wall, asked = statistics.median(walls), len(heard) / runs
    print(f"{name:34} engine {engine:5.0f} ms  web {own:4.0f} ms  wall {wall:5.0f} ms  {asked:.0f} questions")
    by_tag: dict[str, float] = defaultdict(float)
    for tag, spent in heard:
        by_tag[tag] += spent / runs
    for tag, spent in sorted(by_tag.items(), key=lambda each: -each[1]):
        if spent >= least:
            print(f"    {tag:30} engine {spent:5.0f} ms", flush=True)


def walk(store_pid: int, start: datetime, end: datetime, arguments: argparse.Namespace) -> None:
    """Sign somebody in and open every page."""
    from heliograph.accounts.models import Membership, Organization, Project, User  # noqa: PLC0415  # as in `report`
    from heliograph.query import traces  # noqa: PLC0415  # as in `report`
    from heliograph.query.filters import SpanFilter, TimeRange  # noqa: PLC0415  # as in `report`

    user, _ = User.objects.get_or_create(username="reader", is_superuser=True)
    organization, _ = Organization.objects.get_or_create(name="Benchmark")
    Membership.objects.get_or_create(user=user, organization=organization, role="owner")
    project, _ = Project.objects.get_or_create(pk=1, organization=organization, name="Benchmark", slug="benchmark")
    web = Client()
    web.force_login(user)
    noon = start + (end - start) / 2
    trace_id = traces.list_traces(1, SpanFilter(range=TimeRange(noon, end))).items[0].trace_id
    clock = engine_clock(store_pid)
    between = f"from={start:%Y-%m-%dT%H:%M:%SZ}&to={end:%Y-%m-%dT%H:%M:%SZ}"
    for page, further in PAGES:
        name = f"{page} {further}".strip()
        if arguments.only and not any(word in name for word in arguments.only):
            continue
        values = [] if page == "health" else [project.slug]
        address = reverse(page, args=[*values, trace_id] if page.startswith("trace") and page != "traces" else values)
        report(web, name, f"{address}?{between}&{further}", arguments.runs, arguments.least, clock)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--least", type=float, default=8, help="milliseconds from which a question is listed")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="pages whose names hold one of these")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the store stays for the next run")
    arguments = parser.parse_args()
    sys.path[:] = [folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).resolve().parent]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")
    queries = _queries()
    with queries.folder_of(arguments.keep) as folder:
        os.environ["HELIOGRAPH_DATA_DIR"] = str(folder)
        django.setup()
        from heliograph.clickhouse import client, migrate  # noqa: PLC0415  # as in `report`

        with queries.embedded_store(folder) as (url, store_pid):
            settings.CLICKHOUSE_URL = url
            settings.ALLOWED_HOSTS = ["*"]
            static = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
            settings.STORAGES = settings.STORAGES | {"staticfiles": static}
            for _ in migrate.migrate(accept_rewrites=True):
                pass
            call_command("migrate", verbosity=0)
            print(f"{arguments.spans:,} spans over 24 h, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
            span = queries.filled(folder, arguments.spans)
            walk(store_pid, span.start, span.end, arguments)
            client.close_connections()


if __name__ == "__main__":
    main()
