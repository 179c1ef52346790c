"""The platform's own parts on this machine: settings, ports, databases, broker, secrets. Needs Django set up."""

import socket
import stat
from collections.abc import Iterator

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from kombu import Connection
from kombu.exceptions import OperationalError

from heliograph.cli.checkup.finding import Finding
from heliograph.clickhouse import client, migrate
from heliograph.clickhouse.errors import StoreError
from heliograph.running import is_up

_SECRETS = ("secret-key", "store-password", "local-key", "heliograph.sqlite3")
BROKER_S = 5


def configuration() -> Iterator[Finding]:
    """Django's system checks, ours among them."""
    found = [each for each in checks.run_checks() if each.level >= checks.WARNING]
    for each in found:
        state = "failure" if each.level >= checks.ERROR else "warning"
        yield Finding(
            "settings", "failure" if state == "failure" else "warning", f"{each.id}: {each.msg}", each.hint or ""
        )
    if not found:
        yield Finding("settings", "ok", f"data in {settings.DATA_DIR}")


def ports() -> Iterator[Finding]:
    """Taken by Heliograph while it runs, free while it does not."""
    is_running = is_up()
    wanted = [("HELIOGRAPH_PORT", settings.PORT), ("HELIOGRAPH_OTLP_HTTP_PORT", settings.OTLP_HTTP_PORT)]
    wanted.append(("HELIOGRAPH_OTLP_GRPC_PORT", settings.OTLP_GRPC_PORT))
    for name, port in wanted:
        with socket.socket(socket.AF_INET6 if ":" in settings.LOCAL_HOST else socket.AF_INET) as probe:
            probe.settimeout(1)
            is_open = probe.connect_ex((settings.LOCAL_HOST.strip("[]"), port)) == 0
        if is_open == is_running:
            yield Finding("ports", "ok", f"{port} ({name}) is {'served' if is_open else 'free'}")
        elif is_open:
            mend = f"Stop what uses it (ss -ltnp 'sport = :{port}'), or set {name} to another."
            yield Finding("ports", "warning", f"{port} ({name}) is taken and heliograph up does not run here", mend)
        else:
            yield Finding("ports", "failure", f"{port} ({name}) is not served", f"See {settings.DATA_DIR / 'logs'}.")


def metadata() -> Iterator[Finding]:
    """The database of users, projects and keys."""
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        yield Finding("metadata", "failure", f"{connection.vendor}: {error}", "Is it up, and DATABASE_URL right?")
        return
    if missing:
        yield Finding("metadata", "failure", f"{len(missing)} migrations are not applied", "Run: heliograph migrate")
    else:
        yield Finding("metadata", "ok", f"{connection.vendor} is up to date")


def store() -> Iterator[Finding]:
    """ClickHouse, embedded or a server."""
    try:
        client.ping()
        missing = list(migrate.pending(migrate.read_migrations()))
    except StoreError as error:
        mend = "Run heliograph up." if settings.EMBEDDED_STORE else "Is it up, and HELIOGRAPH_CLICKHOUSE_URL right?"
        yield Finding("store", "failure", f"ClickHouse does not answer: {error}", mend)
        return
    if missing:
        yield Finding("store", "failure", f"{len(missing)} schema files are not applied", "Run: heliograph migrate")
    else:
        yield Finding("store", "ok", "ClickHouse answers and is up to date")


def broker() -> Iterator[Finding]:
    """Where tasks wait."""
    url = settings.CELERY_BROKER_URL
    # An address may hold a password.
    kind = url.partition("://")[0]
    options = getattr(settings, "CELERY_BROKER_TRANSPORT_OPTIONS", {})
    try:
        with Connection(url, connect_timeout=BROKER_S, transport_options=options) as opened:
            opened.ensure_connection(max_retries=0, timeout=BROKER_S)
    except (OperationalError, OSError) as error:
        yield Finding("broker", "failure", f"{kind} does not answer: {error}", "Is it up, and CELERY_BROKER_URL right?")
    else:
        yield Finding("broker", "ok", f"{kind} answers")


def secrets() -> Iterator[Finding]:
    """Files that nobody else may read."""
    paths = [settings.DATA_DIR, *(settings.DATA_DIR / name for name in _SECRETS)]
    open_ones = [path for path in paths if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    for path in open_ones:
        mode = "700" if path.is_dir() else "600"
        yield Finding("secrets", "failure", f"others can read {path}", f"Run: chmod {mode} {path}")
    if not open_ones:
        yield Finding("secrets", "ok", "secrets are their owner's only")


CHECKS = (configuration, secrets, ports, metadata, store, broker)
