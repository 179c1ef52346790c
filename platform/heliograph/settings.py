"""The only place that reads the environment. docs/settings.md lists every variable; a test keeps the two equal."""

import ipaddress
import secrets
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from kombu import Exchange, Queue

from heliograph import env

PACKAGE_DIR = Path(__file__).resolve().parent
CHECKOUT_DIR = PACKAGE_DIR.parent.parent
IS_CHECKOUT = (CHECKOUT_DIR / "manage.py").exists()

DATA_DIR = Path(
    env.text("HELIOGRAPH_DATA_DIR", str(CHECKOUT_DIR / ".heliograph" if IS_CHECKOUT else Path.home() / ".heliograph"))
).resolve()
# Made here, before anything below makes a folder in it: telemetry, sessions and secrets are the owner's only.
DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)


def _generated_secret(file_name: str) -> str:
    """Return a secret made once per data folder, readable by its owner only."""
    path = DATA_DIR / file_name
    if not path.exists():
        # Several processes start at once: the first to link its file in wins, the others read it.
        draft = DATA_DIR / f".{file_name}.{secrets.token_hex(8)}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48), encoding="utf-8")
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="utf-8")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # no address at all, so not one of this machine's
        return ""


SECRET_KEY = env.text("HELIOGRAPH_SECRET_KEY") or _generated_secret("secret-key")
# What stored secrets are encrypted with, newest first; see accounts/secrets.py.
SECRET_KEYS = env.words("HELIOGRAPH_SECRET_KEYS")
DEBUG = env.boolean("HELIOGRAPH_DEBUG", default=False)

# --- Addresses ---------------------------------------------------------------------------------------------------
HOST = env.text("HELIOGRAPH_HOST", "127.0.0.1")
PORT = env.integer("HELIOGRAPH_PORT", 8000, minimum=1, maximum=65535)
OTLP_HTTP_PORT = env.integer("HELIOGRAPH_OTLP_HTTP_PORT", 4318, minimum=1, maximum=65535)
OTLP_GRPC_PORT = env.integer("HELIOGRAPH_OTLP_GRPC_PORT", 4317, minimum=1, maximum=65535)
IS_LOOPBACK_ONLY = _is_loopback(HOST)
# How this machine itself reaches what it binds: every address includes loopback, a single one is itself.
_EVERY_ADDRESS = {"0.0.0.0", "::", "localhost"}  # noqa: S104  # compared with, not bound
LOCAL_HOST = "127.0.0.1" if HOST in _EVERY_ADDRESS else f"[{HOST}]" if ":" in HOST else HOST
BASE_URL = env.text("HELIOGRAPH_BASE_URL", f"http://{'localhost' if LOCAL_HOST == '127.0.0.1' else LOCAL_HOST}:{PORT}")
ALLOWED_HOSTS = env.words(
    "HELIOGRAPH_ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]") if IS_LOOPBACK_ONLY else ("*",)
)
CSRF_TRUSTED_ORIGINS = [BASE_URL]
# How many of one's own proxies a request comes through; the address of who asks is read accordingly. The web process
# itself takes the word of a proxy on loopback.
TRUSTED_PROXIES = env.integer("HELIOGRAPH_TRUSTED_PROXIES", 0, minimum=0, maximum=10)
# A keyless export is convenient on one's own machine and an open door anywhere else; also behind a proxy on this
# machine, through which everybody comes from loopback. A public address tells that there is one.
ALLOW_KEYLESS_INGEST = env.boolean(
    "HELIOGRAPH_ALLOW_KEYLESS_INGEST", default=IS_LOOPBACK_ONLY and _is_loopback(_host_of(BASE_URL))
)

# What a Prometheus sends as its bearer token to read /metrics. Without one the page is for this machine alone, and for
# nobody where a proxy here would make everybody look like this machine.
METRICS_TOKEN = env.text("HELIOGRAPH_METRICS_TOKEN")
METRICS_FOR_THIS_MACHINE = IS_LOOPBACK_ONLY and _is_loopback(_host_of(BASE_URL))

# --- Its own telemetry, into itself --------------------------------------------------------------------------------
SELF_TELEMETRY = env.boolean("HELIOGRAPH_SELF_TELEMETRY", default=False)
# Empty: the one that setup makes of the project `heliograph`, on this machine's disk.
SELF_TELEMETRY_KEY = env.text("HELIOGRAPH_SELF_TELEMETRY_KEY")
SELF_TELEMETRY_ENDPOINT = env.text(
    "HELIOGRAPH_SELF_TELEMETRY_ENDPOINT", f"http://{LOCAL_HOST}:{OTLP_HTTP_PORT}"
).rstrip("/")

# --- Stores ------------------------------------------------------------------------------------------------------
DATABASES = {
    "default": dj_database_url.parse(
        env.text("DATABASE_URL") or f"sqlite:///{DATA_DIR / 'heliograph.sqlite3'}", conn_max_age=60
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # WAL lets the pages read while a worker writes; IMMEDIATE takes the write lock at once instead of failing
        # in the middle of a transaction.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

EMBEDDED_STORE = not env.text("HELIOGRAPH_CLICKHOUSE_URL")
STORE_PORT = env.integer("HELIOGRAPH_STORE_PORT", 19000, minimum=1, maximum=65535)
STORE_DIR = DATA_DIR / "store"
STORE_PASSWORD = _generated_secret("store-password") if EMBEDDED_STORE else ""
CLICKHOUSE_URL = (
    env.text("HELIOGRAPH_CLICKHOUSE_URL")
    or f"clickhouse://heliograph:{STORE_PASSWORD}@127.0.0.1:{STORE_PORT}/heliograph"
)
# Of a server that is one of a cluster: what `ON CLUSTER` takes, and whether rows are spread over its shards.
CLICKHOUSE_CLUSTER = env.text("HELIOGRAPH_CLICKHOUSE_CLUSTER")
CLICKHOUSE_SHARDED = env.boolean("HELIOGRAPH_CLICKHOUSE_SHARDED", False)
# Where `heliograph backup` puts its copies; on a server of ClickHouse the disk that BACKUP may use.
BACKUP_DIR = Path(env.text("HELIOGRAPH_BACKUP_DIR") or DATA_DIR / "backups").resolve()
BACKUP_DISK = env.text("HELIOGRAPH_BACKUP_DISK", "backups")
# Where the oldest weeks go, with the blobs' address, region and credentials; empty: they stay on the store's own disk.
COLD_BUCKET = env.text("HELIOGRAPH_COLD_BUCKET")
COLD_PREFIX = env.text("HELIOGRAPH_COLD_PREFIX", "heliograph-cold")
# The storage policy of a ClickHouse server that has a volume `object`; the embedded store brings its own.
COLD_POLICY = env.text("HELIOGRAPH_COLD_POLICY") or ("tiered" if EMBEDDED_STORE and COLD_BUCKET else "")
# Pages ask mostly of the last days, drift of the last four weeks. 0 brings everything back.
COLD_AFTER_DAYS = env.integer("HELIOGRAPH_COLD_AFTER_DAYS", 30, minimum=0, maximum=3650)
# A page waits for its queries, so one that runs longer than this is stopped with an error that says so.
QUERY_TIMEOUT_SECONDS = env.integer("HELIOGRAPH_QUERY_TIMEOUT_SECONDS", 30, minimum=1, maximum=3600)
# One query may not take the memory of an 8 GB host away from ingest and from the other queries.
QUERY_MEMORY_BYTES = env.integer("HELIOGRAPH_QUERY_MEMORY_BYTES", 2 * 2**30, minimum=2**26, maximum=2**40)
RETENTION_DAYS = env.integer("HELIOGRAPH_RETENTION_DAYS", 90, minimum=1, maximum=3650)
# Bytes that the store's tables may take; 0 leaves it to the disk itself, whose free space always counts too.
DISK_BUDGET_BYTES = env.integer("HELIOGRAPH_DISK_BUDGET_BYTES", 0, minimum=0, maximum=2**60)
# ClickHouse needs room to merge: a warning at 80 % leaves a person days on most machines.
DISK_WARN_PERCENT = env.integer("HELIOGRAPH_DISK_WARN_PERCENT", 80, minimum=0, maximum=100)
# What loses something is done only where somebody said so: 0 is never.
DISK_SAMPLE_PERCENT = env.integer("HELIOGRAPH_DISK_SAMPLE_PERCENT", 0, minimum=0, maximum=100)
DISK_SAMPLE_RATE_PERCENT = env.integer("HELIOGRAPH_DISK_SAMPLE_RATE_PERCENT", 10, minimum=1, maximum=100)
DISK_DROP_PERCENT = env.integer("HELIOGRAPH_DISK_DROP_PERCENT", 0, minimum=0, maximum=100)

# --- Ingest: every body, decompression and attribute has a cap ------------------------------------------------------
# The OpenTelemetry Collector's default batch is about 8,192 spans; at 4 KB a span that is 32 MiB.
MAX_BODY_BYTES = env.integer("HELIOGRAPH_MAX_BODY_BYTES", 32 * 2**20, minimum=2**10, maximum=2**30)
# gzip shrinks repetitive telemetry up to about 20 times; this bounds what a small hostile body can make of itself.
MAX_DECOMPRESSED_BYTES = env.integer("HELIOGRAPH_MAX_DECOMPRESSED_BYTES", 128 * 2**20, minimum=2**10, maximum=2**31)
# "python" leaves the compiled kernel aside: to compare, or where it is suspected.
DECODER = env.choice("HELIOGRAPH_DECODER", "auto", ("auto", "python"))
# The OpenTelemetry SDK's default limit is 128; flat message keys of long conversations need about ten times that.
MAX_ATTRIBUTES = env.integer("HELIOGRAPH_MAX_ATTRIBUTES", 2048, minimum=1, maximum=100_000)
# A context of 128 k tokens is about half a megabyte of text.
MAX_ATTRIBUTE_BYTES = env.integer("HELIOGRAPH_MAX_ATTRIBUTE_BYTES", 2**20, minimum=64, maximum=2**26)
# How much unstored telemetry may wait on disk while ClickHouse is away; then senders get 503 with Retry-After.
SPOOL_MAX_BYTES = env.integer("HELIOGRAPH_SPOOL_MAX_BYTES", 2 * 2**30, minimum=2**20, maximum=2**40)
SPOOL_DIR = DATA_DIR / "spool"
# Where a collector alone at the edge sends what it takes: the centre's address of OTLP/HTTP. Empty: it stores itself.
FORWARD_TO = env.text("HELIOGRAPH_FORWARD_TO").rstrip("/")
# For how long after the centre last took a key an edge takes its telemetry while the centre cannot be asked. A night's
# outage passes; a key that was revoked meanwhile fills its part of a disk for no longer.
FORWARD_TRUST_SECONDS = env.integer("HELIOGRAPH_FORWARD_TRUST_SECONDS", 86_400, minimum=0, maximum=30 * 86_400)
# A phone's photo takes up to about 10 MB. A larger image, sound or file is dropped, and its place says so.
MAX_BLOB_BYTES = env.integer("HELIOGRAPH_MAX_BLOB_BYTES", 16 * 2**20, minimum=2**10, maximum=2**28)
# Empty: a folder in the data folder. Else the bucket; boto3 finds the credentials as always (AWS_ACCESS_KEY_ID, ...).
BLOB_BUCKET = env.text("HELIOGRAPH_BLOB_BUCKET")
# Empty: AWS's own address for the region.
BLOB_ENDPOINT_URL = env.text("HELIOGRAPH_BLOB_ENDPOINT_URL")
BLOB_REGION = env.text("HELIOGRAPH_BLOB_REGION")
# As the engine writes a place in a bucket.
_S3_ADDRESS = BLOB_ENDPOINT_URL.rstrip("/") or f"https://s3.{BLOB_REGION or 'us-east-1'}.amazonaws.com"
COLD_ENDPOINT = f"{_S3_ADDRESS}/{COLD_BUCKET}/{COLD_PREFIX}/" if EMBEDDED_STORE and COLD_BUCKET else ""
# Other things may live in the same bucket.
BLOB_PREFIX = env.text("HELIOGRAPH_BLOB_PREFIX", "heliograph")
# Where the days of projects go as Parquet, beside the blobs: in their bucket or one of the same address, else a folder.
ARCHIVE_BUCKET = env.text("HELIOGRAPH_ARCHIVE_BUCKET") or BLOB_BUCKET
ARCHIVE_PREFIX = env.text("HELIOGRAPH_ARCHIVE_PREFIX", "heliograph-archive")
# The engine writes the files: one on another machine reaches a bucket, and no folder here.
ARCHIVE_IS_REACHABLE = EMBEDDED_STORE or bool(ARCHIVE_BUCKET)
ARCHIVE_DIR = Path(env.text("HELIOGRAPH_ARCHIVE_DIR") or DATA_DIR / "archive").resolve()
# Of each project: enough to see what a fault looks like, little enough for a hundred projects.
DEAD_LETTER_MAX_BYTES = env.integer("HELIOGRAPH_DEAD_LETTER_MAX_BYTES", 32 * 2**20, minimum=2**16, maximum=2**36)
# Long enough to find the fault after a long weekend; the bodies may hold what users wrote.
DEAD_LETTER_DAYS = env.integer("HELIOGRAPH_DEAD_LETTER_DAYS", 14, minimum=1, maximum=365)

# --- When a trace is complete ---------------------------------------------------------------------------------------
# OpenTelemetry's SDKs export every 5 seconds; a whole trace may still get a late span for about three of these.
TRACE_QUIET_SECONDS = env.integer("HELIOGRAPH_TRACE_QUIET_SECONDS", 15, minimum=1, maximum=3600)
# A span is sent when it ends, so a trace is silent for as long as its longest step: half an hour is a long tool call.
TRACE_GIVE_UP_SECONDS = env.integer("HELIOGRAPH_TRACE_GIVE_UP_SECONDS", 1_800, minimum=1, maximum=86_400)

# Where a sampling rule looks at scores: verdicts come within a minute or so of the answer, a backlog takes some more.
TAIL_SCORE_WAIT_SECONDS = env.integer("HELIOGRAPH_TAIL_SCORE_WAIT_SECONDS", 300, minimum=1, maximum=86_400)

# --- Evaluators --------------------------------------------------------------------------------------------------
# Empty means the offline default that ships with the package.
GROUNDEDNESS_MODEL = env.text("HELIOGRAPH_GROUNDEDNESS_MODEL")
EMBEDDING_MODEL = env.text("HELIOGRAPH_EMBEDDING_MODEL")
# What a project's rules and experiments may name as an evaluator's model beside these: a worker loads what they name.
EVALUATOR_MODELS = env.words("HELIOGRAPH_EVALUATOR_MODELS")
EVALUATOR_DEVICE = env.choice("HELIOGRAPH_EVALUATOR_DEVICE", "auto", ("auto", "cpu", "cuda", "mps"))
# How often new spans are looked for; a verdict is wanted within a minute or so of the answer.
EVALUATION_INTERVAL_SECONDS = env.integer("HELIOGRAPH_EVALUATION_INTERVAL_SECONDS", 30, minimum=1, maximum=86_400)

# --- Data sets and experiments -------------------------------------------------------------------------------------
# Of a project, all versions together: SQLite and PostgreSQL answer every page of so many within its bound.
MAX_DATASET_ROWS = env.integer("HELIOGRAPH_MAX_DATASET_ROWS", 1_000_000, minimum=1, maximum=10**9)
# Two kilobytes a row, at a million rows.
MAX_DATASET_BYTES = env.integer("HELIOGRAPH_MAX_DATASET_BYTES", 2 * 2**30, minimum=2**20, maximum=2**42)

# A batch takes seconds, and a judge's endpoint is given up after a minute or so; after this long the worker ends itself
# and is started again, and what it had in its hands is judged one by one.
EVALUATION_HANG_SECONDS = env.integer("HELIOGRAPH_EVALUATION_HANG_SECONDS", 600, minimum=1, maximum=7_000)

# --- What requests cost of the GPUs -------------------------------------------------------------------------------
# The attribute of a span or of its resource that names the tenant a request was for.
TENANT_ATTRIBUTE = env.text("HELIOGRAPH_TENANT_ATTRIBUTE") or "tenant.id"

# --- Pages of metrics that are fetched ----------------------------------------------------------------------------
# A watch list that is read again when it changes; empty: none.
SCRAPE_FILE = env.text("HELIOGRAPH_SCRAPE_FILE")
# Where targets of the file that name no project go, and all that Kubernetes names.
SCRAPE_PROJECT = env.text("HELIOGRAPH_SCRAPE_PROJECT", "default")
# On a server, loopback is where its own stores listen; on one's own machine it is where engines do.
SCRAPE_LOOPBACK = env.boolean("HELIOGRAPH_SCRAPE_LOOPBACK", default=IS_LOOPBACK_ONLY)
# What `token_env` and `password_env` of the watch list name: no other variable can be sent to a target.
SCRAPE_SECRETS = env.starting_with("HELIOGRAPH_SCRAPE_SECRET_")
SCRAPE_KUBERNETES = env.boolean("HELIOGRAPH_SCRAPE_KUBERNETES", default=False)
SCRAPE_KUBERNETES_NAMESPACE = env.text("HELIOGRAPH_SCRAPE_KUBERNETES_NAMESPACE")
# What a pod's own service account finds.
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
SCRAPE_KUBERNETES_URL = env.text("HELIOGRAPH_SCRAPE_KUBERNETES_URL", "https://kubernetes.default.svc")
SCRAPE_KUBERNETES_TOKEN_FILE = env.text("HELIOGRAPH_SCRAPE_KUBERNETES_TOKEN_FILE", f"{_SERVICE_ACCOUNT}/token")
SCRAPE_KUBERNETES_CA_FILE = env.text("HELIOGRAPH_SCRAPE_KUBERNETES_CA_FILE", f"{_SERVICE_ACCOUNT}/ca.crt")
# A token that pods may be shown over TLS; empty: none. One for the API itself would let a pod act as the scraper.
SCRAPE_KUBERNETES_PODS_TOKEN_FILE = env.text("HELIOGRAPH_SCRAPE_KUBERNETES_PODS_TOKEN_FILE")
SCRAPE_KUBERNETES_PODS_CA_FILE = env.text("HELIOGRAPH_SCRAPE_KUBERNETES_PODS_CA_FILE", f"{_SERVICE_ACCOUNT}/ca.crt")

# --- Requests that somebody of a project has us send: webhooks, judges -----------------------------------------------
# Allowed beside public addresses, as 10.0.0.0/8.
OUTGOING_NETWORKS = env.networks("HELIOGRAPH_OUTGOING_NETWORKS")

# --- Alerts -------------------------------------------------------------------------------------------------------
# A window is judged so long after its end: an SDK's batch of 5 s, a retried export, calls that take most of a minute.
ALERT_SETTLE_SECONDS = env.integer("HELIOGRAPH_ALERT_SETTLE_SECONDS", 60, minimum=0, maximum=3_600)
# Where e-mail goes out; empty: there is none.
EMAIL_HOST = env.text("HELIOGRAPH_SMTP_HOST")
EMAIL_PORT = env.integer("HELIOGRAPH_SMTP_PORT", 587, minimum=1, maximum=65535)
EMAIL_HOST_USER = env.text("HELIOGRAPH_SMTP_USER")
EMAIL_HOST_PASSWORD = env.text("HELIOGRAPH_SMTP_PASSWORD")
_SMTP_SECURITY = env.choice("HELIOGRAPH_SMTP_SECURITY", "starttls", ("starttls", "tls", "none"))
EMAIL_USE_TLS, EMAIL_USE_SSL = _SMTP_SECURITY == "starttls", _SMTP_SECURITY == "tls"
DEFAULT_FROM_EMAIL = env.text("HELIOGRAPH_SMTP_FROM", f"heliograph@{_host_of(BASE_URL) or 'localhost'}")
EMAIL_TIMEOUT = 10

# --- Celery ------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL") or "filesystem://"
if CELERY_BROKER_URL == "filesystem://":
    _QUEUE_DIR = DATA_DIR / "queue"
    for _name in ("messages", "processed", "control"):
        (_QUEUE_DIR / _name).mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_QUEUE_DIR / "messages"),
        "data_folder_out": str(_QUEUE_DIR / "messages"),
        "processed_folder": str(_QUEUE_DIR / "processed"),
        "control_folder": str(_QUEUE_DIR / "control"),
        "store_processed": False,
    }
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "default"
# What loads models or judges for seconds at a time has a queue, so that alerts do not wait for it. A worker that is
# told of no queue takes both.
EVALUATIONS_QUEUE = "evaluations"
# An exchange each: Celery would give both the default's, which hands every message to both.
CELERY_TASK_QUEUES = [Queue(name, Exchange(name), name) for name in (CELERY_TASK_DEFAULT_QUEUE, EVALUATIONS_QUEUE)]
CELERY_TASK_ROUTES = {
    name: {"queue": EVALUATIONS_QUEUE}
    for name in (
        "heliograph.evals.tasks.score_new_spans",
        "heliograph.evals.tasks.work_off_checks",
        "heliograph.evals.tasks.plan_schedules",
        "heliograph.datasets.tasks.*",
        "heliograph.gates.tasks.*",
    )
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
# Schedules of people stand in the database, beside the ones below; ADR 0037.
CELERY_BEAT_SCHEDULER = "heliograph.beat.scheduler:ElectedScheduler"
# What was sent is written down at once: a beat that takes over must not send it again.
CELERY_BEAT_SYNC_EVERY = 1
CELERY_BEAT_SCHEDULE = {
    "schedules": {
        "task": "heliograph.evals.tasks.plan_schedules",
        "schedule": 30.0,  # for whose own message was lost
        "options": {"expires": 30},
    },
    # Rules are judged by the minute; twice as often, so that a settled minute waits for half of one.
    "alerts": {"task": "heliograph.alerts.tasks.evaluate_rules", "schedule": 30.0, "options": {"expires": 30}},
    "alert-deliveries": {"task": "heliograph.alerts.tasks.deliver", "schedule": 10.0, "options": {"expires": 10}},
    "alert-history": {"task": "heliograph.alerts.tasks.remove_old", "schedule": 3_600.0, "options": {"expires": 3_600}},
    # Scores of annotators are written when they are given; this finds those of a time when the store was away.
    "annotation": {
        "task": "heliograph.annotation.tasks.write_waiting_scores",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "attribution": {
        "task": "heliograph.evals.tasks.share_out_gpus",
        "schedule": 60.0,  # it works by the minute
        "options": {"expires": 60},
    },
    "disk": {"task": "heliograph.disk.tasks.guard_disk", "schedule": 60.0, "options": {"expires": 60}},
    # A week becomes old once a week; a look costs some milliseconds, and what a look found busy waits for the next.
    "cold": {"task": "heliograph.disk.tasks.move_old_weeks", "schedule": 600.0, "options": {"expires": 600}},
    # Some dozen parts are left over in hours of busy ingest.
    "projections": {
        "task": "heliograph.disk.tasks.make_projections",
        "schedule": 3_600.0,
        "options": {"expires": 3_600},
    },
    # A day on which blobs expire is a Monday; the task finds nothing to do on the others.
    "blobs": {
        "task": "heliograph.disk.tasks.remove_expired_blobs",
        "schedule": 86_400.0,
        "options": {"expires": 86_400},
    },
    "sessions": {
        "task": "heliograph.accounts.tasks.remove_expired_sessions",
        "schedule": 86_400.0,
        "options": {"expires": 86_400},
    },
    "events": {
        "task": "heliograph.events.tasks.remove_expired_events",
        "schedule": 3_600.0,
        "options": {"expires": 3_600},
    },
    # Finds erasures whose message was lost, whose worker was killed or whose time has come.
    "erasures": {"task": "heliograph.erasure.tasks.work_off", "schedule": 60.0, "options": {"expires": 60}},
    # Finds holds whose message was lost or whose worker was killed, and what has come to those in force.
    "holds": {"task": "heliograph.holds.tasks.work_off", "schedule": 60.0, "options": {"expires": 60}},
    # Finds exports whose message was lost or whose worker was killed, and removes what has expired.
    "exports": {"task": "heliograph.exports.tasks.work_off", "schedule": 60.0, "options": {"expires": 60}},
    # Opens the days that are due, and finds those whose message was lost or whose worker was killed.
    "archive": {"task": "heliograph.exports.tasks.archive", "schedule": 60.0, "options": {"expires": 60}},
    # Finds experiments whose message was lost or whose worker was killed.
    "experiments": {"task": "heliograph.datasets.tasks.work_off", "schedule": 30.0, "options": {"expires": 30}},
    "groundedness": {
        "task": "heliograph.evals.tasks.score_new_spans",
        "schedule": float(EVALUATION_INTERVAL_SECONDS),
        # A beat that catches up after a pause must not queue the same look-up a hundred times.
        "options": {"expires": EVALUATION_INTERVAL_SECONDS},
    },
    "judge-answers": {
        "task": "heliograph.evals.tasks.remove_old_answers",
        "schedule": 86_400.0,
        "options": {"expires": 86_400},
    },
    "sent-scores": {
        "task": "heliograph.evals.tasks.place_sent_scores",
        "schedule": 60.0,  # a score beside its answer within a minute or so of the answer
        "options": {"expires": 60},
    },
    # Finds jobs whose message was lost or whose worker was killed.
    "remap": {"task": "heliograph.remap.tasks.work_off", "schedule": 30.0, "options": {"expires": 30}},
    "tail-sampling": {"task": "heliograph.tail.tasks.decide_traces", "schedule": 15.0, "options": {"expires": 15}},
    # Each minute the new traffic of watched gates, and what a lost message left undone.
    "gates": {"task": "heliograph.gates.tasks.follow_traffic", "schedule": 60.0, "options": {"expires": 60}},
    # Monitors are due by what the database knows: a message that was lost costs some minutes, not a day.
    "drift": {"task": "heliograph.gates.tasks.look_for_drift", "schedule": 600.0, "options": {"expires": 600}},
}

# --- Django ------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.socialaccount.providers.saml",
    "allauth.usersessions",
    "axes",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_htmx",
    "drf_spectacular",
    "rest_framework",
    "heliograph.apps.HeliographConfig",
    "heliograph.accounts",
    "heliograph.audit",
    "heliograph.beat",
    "heliograph.events",
    "heliograph.conventions",
    "heliograph.rules",
    "heliograph.saved",
    "heliograph.scrape",
    "heliograph.evals",
    "heliograph.alerts",
    "heliograph.holds",
    "heliograph.datasets",
    "heliograph.gates",
    "heliograph.annotation",
    "heliograph.exports",
    "heliograph.erasure",
    "heliograph.dashboards",
    "heliograph.api",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "heliograph.dashboards.policy.ContentPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "heliograph.accounts.sessions.NoteSessions",
    "heliograph.audit.middleware.RecordChanges",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "heliograph.dashboards.rivals.AskOnceMore",
    "heliograph.accounts.doors.DefaultDeny",
    "heliograph.accounts.factors.SecondFactor",
    # Last: it answers instead of a view that was told of a locked out login.
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "heliograph.urls"
ASGI_APPLICATION = "heliograph.asgi.application"
TEMPLATE_DIR = next(path for path in (PACKAGE_DIR / "templates", CHECKOUT_DIR / "templates") if path.exists())
# The wheel holds it beside the code.
RUNBOOK = next(path for path in (PACKAGE_DIR / "runbook.md", CHECKOUT_DIR / "docs/runbook.md") if path.exists())
# What the browser's libraries are, for `heliograph sbom`.
NPM_LOCK = next(
    path for path in (PACKAGE_DIR / "package-lock.json", CHECKOUT_DIR / "package-lock.json") if path.exists()
)
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [TEMPLATE_DIR],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "heliograph.dashboards.context.navigation",
            ],
        },
    }
]
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "sesame.backends.ModelBackend",
]
# Guessing a password of ten characters at forty tries an hour takes longer than anybody lives. By name and address
# together: nobody locks out somebody else, and one address behind a proxy is not everybody.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "heliograph.accounts.addresses.client_ip"
AXES_LOCKOUT_TEMPLATE = "accounts/locked_out.html"
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# One for all web workers, else each would count an attacker's tries from nothing: the metadata database has it, and
# holds some hundreds of short rows. Django drops a third of them at so many, which nobody must bring about.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "heliograph_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}
# --- Single sign-on ------------------------------------------------------------------------------------------------
# The provider's issuer, as its discovery document names it; empty: there is no single sign-on.
OIDC_ISSUER = env.text("HELIOGRAPH_OIDC_ISSUER").rstrip("/")
OIDC_CLIENT_ID = env.text("HELIOGRAPH_OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.text("HELIOGRAPH_OIDC_CLIENT_SECRET")
# What stands on the button.
OIDC_NAME = env.text("HELIOGRAPH_OIDC_NAME", "single sign-on")
OIDC_SCOPES = env.words("HELIOGRAPH_OIDC_SCOPES", ("openid", "profile", "email"))
# The claim, of the user's information or of the token, that lists groups.
OIDC_GROUPS_CLAIM = env.text("HELIOGRAPH_OIDC_GROUPS_CLAIM", "groups")
# {"a group": {"an organisation's name": "a role"}}; docs/people.md.
OIDC_GROUP_ROLES = env.nested("HELIOGRAPH_OIDC_GROUP_ROLES")
# The same by SAML, in place of OpenID Connect: the provider's metadata, or its name, address and certificate.
SAML_METADATA = env.text("HELIOGRAPH_SAML_METADATA")
SAML_IDP_ENTITY_ID = env.text("HELIOGRAPH_SAML_IDP_ENTITY_ID")
SAML_IDP_SSO_URL = env.text("HELIOGRAPH_SAML_IDP_SSO_URL")
SAML_IDP_CERTIFICATE = env.text("HELIOGRAPH_SAML_IDP_CERTIFICATE")
SAML_NAME = env.text("HELIOGRAPH_SAML_NAME", "single sign-on")
SAML_GROUPS_ATTRIBUTE = env.text("HELIOGRAPH_SAML_GROUPS_ATTRIBUTE", "groups")
# Empty: the NameID, which has to be a lasting one.
SAML_ID_ATTRIBUTE = env.text("HELIOGRAPH_SAML_ID_ATTRIBUTE")
# The name that somebody new gets here; empty: the NameID.
SAML_USERNAME_ATTRIBUTE = env.text("HELIOGRAPH_SAML_USERNAME_ATTRIBUTE")
SOCIALACCOUNT_ADAPTER = "heliograph.dashboards.single_sign_on.ProviderAdapter"
# Of accounts/provider_numbers.py, which puts it among the claims.
OIDC_NUMBER = "heliograph_number"
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "SCOPE": OIDC_SCOPES,
        "APPS": [
            {
                "provider_id": "oidc",
                "name": OIDC_NAME,
                "client_id": OIDC_CLIENT_ID,
                "secret": OIDC_CLIENT_SECRET,
                "settings": {"server_url": OIDC_ISSUER, "uid_field": OIDC_NUMBER},
            }
        ]
        if OIDC_ISSUER
        else [],
    },
    # What is read of its answers is ours, and whether there is one (accounts/saml.py).
    "saml": {"APPS": [{"provider_id": "saml", "name": SAML_NAME, "client_id": "saml"}]},
}

# allauth has the second factor, the list of sessions and the steps of a sign-in; see docs/adr/0059.
ACCOUNT_ADAPTER = "heliograph.accounts.adapters.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
# A code of six digits holds for a minute and a half, so each try is one in 330,000: twenty a day find it in decades.
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key,20/d/key"}
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
# allauth keeps no address here: one becomes somebody's by a link that is sent there (accounts/forgotten.py).
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_ADAPTER = "heliograph.accounts.adapters.FactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "Heliograph"
# Clocks of telephones differ by some seconds; RFC 6238 takes one step of 30 seconds before and after.
MFA_TOTP_TOLERANCE = 1
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_RESET_TIMEOUT = 3600
SESAME_ONE_TIME = True
SESAME_MAX_AGE = 3600  # the link printed at start is for the person at the terminal, now
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BASE_URL.startswith("https://")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"


def _bucket(name: str, prefix: str) -> dict[str, object]:
    """Return how Django reaches a place in a bucket; boto3 finds the credentials."""
    options = {
        "bucket_name": name,
        "endpoint_url": BLOB_ENDPOINT_URL or None,
        "region_name": BLOB_REGION or None,
        "location": prefix,
    }
    return {"BACKEND": "heliograph.blobs.s3.Bucket", "OPTIONS": options}


STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "blobs": _bucket(BLOB_BUCKET, BLOB_PREFIX)
    if BLOB_BUCKET
    else {"BACKEND": "heliograph.blobs.folder.DurableFolder", "OPTIONS": {"location": DATA_DIR / "blobs"}},
    "archive": _bucket(ARCHIVE_BUCKET, ARCHIVE_PREFIX)
    if ARCHIVE_BUCKET
    else {"BACKEND": "heliograph.blobs.folder.DurableFolder", "OPTIONS": {"location": ARCHIVE_DIR}},
    # A hash in each name lets browsers keep the files for good.
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}
# `dist` is what `make` builds from the npm lock file; the rest is written here.
STATICFILES_DIRS = [path for path in (CHECKOUT_DIR / "static", PACKAGE_DIR / "static") if path.exists()]
FILE_UPLOAD_HANDLERS = [
    # That bound is not for files: these are told by the first.
    "heliograph.dashboards.uploads.BoundedUpload",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 2**20  # API bodies: scores and forms, not telemetry

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "heliograph.api.authentication.ApiKeyAuthentication",
        "heliograph.api.authentication.ProjectSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["heliograph.api.authentication.Permitted"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["heliograph.api.parsers.BoundedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "heliograph.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Heliograph API",
    "DESCRIPTION": "Traces, spans, metrics and scores of one project, chosen by its API key.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    # Fields of one name with different choices.
    "ENUM_NAME_OVERRIDES": {
        "ChannelKind": "heliograph.alerts.models.CHANNEL_KINDS",
        "ExperimentKind": "heliograph.datasets.models.experiments.Experiment.Kind",
        "GateJobStatus": "heliograph.gates.models.jobs.Job.Status",
        "HoldKind": "heliograph.holds.models.Hold.Kind",
    },
}

# --- Logs --------------------------------------------------------------------------------------------------------
LOG_FORMAT = env.choice("HELIOGRAPH_LOG_FORMAT", "console", ("console", "json"))
LOG_LEVEL = env.choice("HELIOGRAPH_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING_CONFIG = "heliograph.logs.configure"
LOGGING = {"format": LOG_FORMAT, "level": LOG_LEVEL}
