"""The only place that reads the environment. docs/settings.md lists every variable; a test keeps the two equal."""

import ipaddress
import secrets
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url

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
DEBUG = env.boolean("HELIOGRAPH_DEBUG", default=False)

# --- Addresses ---------------------------------------------------------------------------------------------------
HOST = env.text("HELIOGRAPH_HOST", "127.0.0.1")
PORT = env.integer("HELIOGRAPH_PORT", 8000, minimum=1, maximum=65535)
OTLP_HTTP_PORT = env.integer("HELIOGRAPH_OTLP_HTTP_PORT", 4318, minimum=1, maximum=65535)
OTLP_GRPC_PORT = env.integer("HELIOGRAPH_OTLP_GRPC_PORT", 4317, minimum=1, maximum=65535)
IS_LOOPBACK_ONLY = _is_loopback(HOST)
# How this machine itself reaches what it binds: every address includes loopback, a single one is itself.
LOCAL_HOST = "127.0.0.1" if HOST in {"0.0.0.0", "::", "localhost"} else f"[{HOST}]" if ":" in HOST else HOST  # noqa: S104
BASE_URL = env.text("HELIOGRAPH_BASE_URL", f"http://{'localhost' if LOCAL_HOST == '127.0.0.1' else LOCAL_HOST}:{PORT}")
ALLOWED_HOSTS = env.words(
    "HELIOGRAPH_ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]") if IS_LOOPBACK_ONLY else ("*",)
)
CSRF_TRUSTED_ORIGINS = [BASE_URL]
# A keyless export is convenient on one's own machine and an open door anywhere else; also behind a proxy on this
# machine, through which everybody comes from loopback. A public address tells that there is one.
ALLOW_KEYLESS_INGEST = env.boolean(
    "HELIOGRAPH_ALLOW_KEYLESS_INGEST", default=IS_LOOPBACK_ONLY and _is_loopback(_host_of(BASE_URL))
)

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
# A page waits for its queries, so one that runs longer than this is stopped with an error that says so.
QUERY_TIMEOUT_SECONDS = env.integer("HELIOGRAPH_QUERY_TIMEOUT_SECONDS", 30, minimum=1, maximum=3600)
# One query may not take the memory of an 8 GB host away from ingest and from the other queries.
QUERY_MEMORY_BYTES = env.integer("HELIOGRAPH_QUERY_MEMORY_BYTES", 2 * 2**30, minimum=2**26, maximum=2**40)
RETENTION_DAYS = env.integer("HELIOGRAPH_RETENTION_DAYS", 90, minimum=1, maximum=3650)

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
# A phone's photo takes up to about 10 MB. A larger image, sound or file is dropped, and its place says so.
MAX_BLOB_BYTES = env.integer("HELIOGRAPH_MAX_BLOB_BYTES", 16 * 2**20, minimum=2**10, maximum=2**28)
# Empty: a folder in the data folder. Else the bucket; boto3 finds the credentials as always (AWS_ACCESS_KEY_ID, ...).
BLOB_BUCKET = env.text("HELIOGRAPH_BLOB_BUCKET")
# Empty: AWS's own address for the region.
BLOB_ENDPOINT_URL = env.text("HELIOGRAPH_BLOB_ENDPOINT_URL")
BLOB_REGION = env.text("HELIOGRAPH_BLOB_REGION")
# Other things may live in the same bucket.
BLOB_PREFIX = env.text("HELIOGRAPH_BLOB_PREFIX", "heliograph")
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
EVALUATOR_DEVICE = env.choice("HELIOGRAPH_EVALUATOR_DEVICE", "auto", ("auto", "cpu", "cuda", "mps"))
# How often new spans are looked for; a verdict is wanted within a minute or so of the answer.
EVALUATION_INTERVAL_SECONDS = env.integer("HELIOGRAPH_EVALUATION_INTERVAL_SECONDS", 30, minimum=1, maximum=86_400)

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
SCRAPE_KUBERNETES = env.boolean("HELIOGRAPH_SCRAPE_KUBERNETES", default=False)
SCRAPE_KUBERNETES_NAMESPACE = env.text("HELIOGRAPH_SCRAPE_KUBERNETES_NAMESPACE")
# What a pod's own service account finds.
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
SCRAPE_KUBERNETES_URL = env.text("HELIOGRAPH_SCRAPE_KUBERNETES_URL", "https://kubernetes.default.svc")
SCRAPE_KUBERNETES_TOKEN_FILE = env.text("HELIOGRAPH_SCRAPE_KUBERNETES_TOKEN_FILE", f"{_SERVICE_ACCOUNT}/token")
SCRAPE_KUBERNETES_CA_FILE = env.text("HELIOGRAPH_SCRAPE_KUBERNETES_CA_FILE", f"{_SERVICE_ACCOUNT}/ca.crt")

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
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "attribution": {
        "task": "heliograph.evals.tasks.share_out_gpus",
        "schedule": 60.0,  # it works by the minute
        "options": {"expires": 60},
    },
    # A day on which blobs expire is a Monday; the task finds nothing to do on the others.
    "blobs": {
        "task": "heliograph.blobs.tasks.remove_expired_blobs",
        "schedule": 86_400.0,
        "options": {"expires": 86_400},
    },
    "sessions": {
        "task": "heliograph.accounts.tasks.remove_expired_sessions",
        "schedule": 86_400.0,
        "options": {"expires": 86_400},
    },
    "groundedness": {
        "task": "heliograph.evals.tasks.score_new_spans",
        "schedule": float(EVALUATION_INTERVAL_SECONDS),
        # A beat that catches up after a pause must not queue the same look-up a hundred times.
        "options": {"expires": EVALUATION_INTERVAL_SECONDS},
    },
    "sent-scores": {
        "task": "heliograph.evals.tasks.place_sent_scores",
        "schedule": 60.0,  # a score beside its answer within a minute or so of the answer
        "options": {"expires": 60},
    },
    # Finds jobs whose message was lost or whose worker was killed.
    "remap": {"task": "heliograph.remap.tasks.work_off", "schedule": 30.0, "options": {"expires": 30}},
    "tail-sampling": {"task": "heliograph.tail.tasks.decide_traces", "schedule": 15.0, "options": {"expires": 15}},
    # Hourly, and once a day each by what the database knows: a message that was lost costs an hour, not a day.
    "drift": {"task": "heliograph.evals.tasks.check_drift_daily", "schedule": 3_600.0, "options": {"expires": 3_600}},
}

# --- Django ------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "axes",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_htmx",
    "drf_spectacular",
    "rest_framework",
    "heliograph.apps.HeliographConfig",
    "heliograph.accounts",
    "heliograph.conventions",
    "heliograph.rules",
    "heliograph.scrape",
    "heliograph.evals",
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
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    # Last: it answers instead of a view that was told of a locked out login.
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "heliograph.urls"
ASGI_APPLICATION = "heliograph.asgi.application"
TEMPLATE_DIR = next(path for path in (PACKAGE_DIR / "templates", CHECKOUT_DIR / "templates") if path.exists())
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
AXES_LOCKOUT_TEMPLATE = "accounts/locked_out.html"
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
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
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "blobs": {
        "BACKEND": "heliograph.blobs.s3.Bucket",
        "OPTIONS": {
            "bucket_name": BLOB_BUCKET,
            "endpoint_url": BLOB_ENDPOINT_URL or None,
            "region_name": BLOB_REGION or None,
            "location": BLOB_PREFIX,
        },
    }
    if BLOB_BUCKET
    else {"BACKEND": "heliograph.blobs.folder.DurableFolder", "OPTIONS": {"location": DATA_DIR / "blobs"}},
    # A hash in each name lets browsers keep the files for good.
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}
# `dist` is what `make` builds from the npm lock file; the rest is written here.
STATICFILES_DIRS = [path for path in (CHECKOUT_DIR / "static", PACKAGE_DIR / "static") if path.exists()]
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 2**20  # API bodies: scores and forms, not telemetry

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "heliograph.api.authentication.ApiKeyAuthentication",
        "heliograph.api.authentication.ProjectSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["heliograph.api.authentication.HasProject"],
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
}

# --- Logs --------------------------------------------------------------------------------------------------------
LOG_FORMAT = env.choice("HELIOGRAPH_LOG_FORMAT", "console", ("console", "json"))
LOG_LEVEL = env.choice("HELIOGRAPH_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING_CONFIG = "heliograph.logs.configure"
LOGGING = {"format": LOG_FORMAT, "level": LOG_LEVEL}
