"""All settings, read from the environment. `.env.example` lists every variable; docs/operations.md explains them."""

import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from socket import gethostname
from urllib.parse import urlsplit, urlunsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from config.logs import logging_config
from config.unfold import UNFOLD as UNFOLD

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(BASE_DIR / ".env")

VERSION = "0.1.0"
#: What `DEBUG=on` says, which `./run` sets: this is somebody's own machine, where some things are easier.
DEVELOPMENT = env.bool("DEBUG", default=False)
DEBUG = False  # Django's own, whose pages about errors show settings, the passwords in addresses among them
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".data"))).resolve()


def _required(name: str, why: str) -> str:
    value: str = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set: {why} (or start with ./run, which sets it)")
    return value


def _duration(name: str, default: str) -> timedelta:
    value = env.str(name, default=default)
    match = re.fullmatch(r"([1-9]\d{0,6})([smhd])", value)
    if match is None:
        raise ImproperlyConfigured(f"{name} is {value!r}: give a number and s, m, h or d, such as {default}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _number_or_off(name: str, default: str) -> int | None:
    value = env.str(name, default="") or default
    if value != "off" and re.fullmatch(r"[1-9]\d{0,8}", value) is None:
        raise ImproperlyConfigured(f"{name} is {value!r}: give a number such as {default}, or off for no limit")
    return None if value == "off" else int(value)


def _listed(name: str, default: list[str]) -> list[str]:
    """What stands between commas, which may have spaces around it."""
    return [item for part in env.list(name, default=default) if (item := part.strip())]


def _networks(name: str) -> list[IPv4Network | IPv6Network]:
    found = []
    for item in _listed(name, default=[]):
        try:
            found.append(ip_network(item, strict=False))
        except ValueError:
            like = "10.0.0.0/8,192.168.1.5"
            raise ImproperlyConfigured(f"{name} has {item!r}: give addresses and networks, such as {like}") from None
    return found


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

SECRET_KEY = _required("SECRET_KEY", "outside ./run every deployment needs a secret key of its own")
if not DEVELOPMENT and len(SECRET_KEY) < 32:
    raise ImproperlyConfigured("SECRET_KEY is too short: outside DEBUG it needs 32 characters or more")
#: Never all names: a page of anyone's could have its own lead here, and read what this machine may read.
_OWN_NAMES = [".localhost", "127.0.0.1", "[::1]", *([gethostname().lower()] if DEVELOPMENT else [])]
ALLOWED_HOSTS = _listed("ALLOWED_HOSTS", default=[]) or _OWN_NAMES
TRUSTED_PROXIES = _networks("TRUSTED_PROXIES")
#: The Task API's documented key, which everyone knows: it works on this machine alone (tasks/task_api.py).
TASK_API_DEMO_KEY = "demo-secret-key-change-in-production"
TASK_API_KEY = env.str("TASK_API_KEY", default=TASK_API_DEMO_KEY if DEVELOPMENT else "")
if not DEVELOPMENT and TASK_API_KEY == TASK_API_DEMO_KEY:
    raise ImproperlyConfigured("TASK_API_KEY is the documented demo value, which everyone knows: choose another one")

SIGNUP_OPEN = env.bool("SIGNUP_OPEN", default=DEVELOPMENT)

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "mesh",
    "accounts",
    "meetings",
    "tasks",
    "notes",
    "events",
    "shop",
    "config",
]

MIDDLEWARE = [
    "corsheaders.middleware.CorsMiddleware",
    "mesh.doors.rest.middleware.MeshMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

WEB_THREADS = env.int("WEB_THREADS", default=4)
_STATEMENT_TIMEOUT = timedelta(seconds=15)

# Postgres: the second wall. Statements, lock waits and forgotten transactions all have an end.
_required("DATABASE_URL", "the address of a PostgreSQL 14 or newer")
DATABASES = {"default": env.db_url("DATABASE_URL")}
DATABASE_POOLER = env.str("DATABASE_POOLER", default="") or "off"
if DATABASE_POOLER not in ("off", "transaction"):
    raise ImproperlyConfigured(f"DATABASE_POOLER is {DATABASE_POOLER!r}: give off or transaction")
# Its sessions are anyone's from one transaction to the next: nothing that belongs to a session is used.
_POOLED = DATABASE_POOLER == "transaction"
DATABASES["default"].update(
    ENGINE="django.db.backends.postgresql",
    CONN_MAX_AGE=0,
    DISABLE_SERVER_SIDE_CURSORS=_POOLED,
    OPTIONS={
        **DATABASES["default"].get("OPTIONS", {}),
        "pool": {
            "min_size": 1,
            "max_size": max(WEB_THREADS, env.int("WORKER_CONCURRENCY", default=8)) + 2,
            "timeout": 5,
        },
    },
)
if not _POOLED:
    DATABASES["default"]["OPTIONS"]["options"] = (
        f"-c statement_timeout={_STATEMENT_TIMEOUT.seconds}s"
        " -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s"
        # A prepared statement is planned once: planning costs more than most of them take, and they look up by index.
        " -c timezone=UTC -c plan_cache_mode=force_generic_plan"
    )
SILENCED_SYSTEM_CHECKS = [
    "auth.W004",  # unique in any case: a unique index on lower(email)
    "security.W005",  # what else is under the domain,
    "security.W021",  # and whether browsers know it beforehand, is its owner's to say
    "security.W008",  # who ends TLS sends plain requests there; the platform's health checks stay plain
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Redis: the cache and the rate limits. The broker is another role, by default another database there.
REDIS_URL = _required("REDIS_URL", "the address of a Redis or Valkey for the cache")
BROKER_URL = env.str("BROKER_URL", default="") or urlunsplit(urlsplit(REDIS_URL)._replace(path="/1"))
if BROKER_URL.startswith("rediss:") and "ssl_cert_reqs=" not in BROKER_URL:  # else Celery takes any certificate
    BROKER_URL += f"{'&' if '?' in BROKER_URL else '?'}ssl_cert_reqs=required"
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "meshwork",
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 0.5, "SOCKET_TIMEOUT": 0.5},
    }
}

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.credentials.AdminBackend"]
LOGIN_REDIRECT_URL = "/admin/"  # only the admin has a form to sign in
PASSWORD_HASHERS = ["django.contrib.auth.hashers.BCryptSHA256PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in {
        "UserAttributeSimilarityValidator": {"user_attributes": ("email", "name")},
        "MinimumLengthValidator": {},
        "CommonPasswordValidator": {},
        "NumericPasswordValidator": {},
    }.items()
]
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=env.int("ACCESS_TOKEN_MINUTES", default=60)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=env.int("REFRESH_TOKEN_DAYS", default=30)),
}

MESH = {
    "CELERY": "config.celery.app",
    "IDENTITY": "accounts.credentials.AccountsIdentity",
    "UNSCOPED": "config.unscoped.PLACES",
    "RATE_LIMIT_READ": env.str("RATE_LIMIT_READ", default="600/min"),
    "RATE_LIMIT_WRITE": env.str("RATE_LIMIT_WRITE", default="120/min"),
    "RATE_LIMIT_LOGIN": env.str("RATE_LIMIT_LOGIN", default="10/min"),
    "RATE_LIMIT_SECONDS": env.str("RATE_LIMIT_SECONDS", default="20/min"),
    "RATE_LIMIT_BYTES": env.str("RATE_LIMIT_BYTES", default="200MB/min"),
    "ROWS_PER_USER": _number_or_off("ROWS_PER_USER", default="100000"),
    "MAILS_PER_DAY": _number_or_off("MAILS_PER_DAY", default="500"),
    # Searches, exports, imports, passwords: how many at once, in each process of web. One thread is left for the rest.
    "EXPENSIVE_REQUESTS": env.int("EXPENSIVE_REQUESTS", default=max(1, WEB_THREADS - 1)),
    "EXPENSIVE_REQUESTS_EACH": env.int("EXPENSIVE_REQUESTS_EACH", default=2),
    "ROUTES": env.str("MESH_ROUTES", default=""),
    "CHECK_ANSWERS": env.bool("MESH_CHECK_ANSWERS", default=DEVELOPMENT),
    "CACHE": env.bool("MESH_CACHE", default=True),
    "PREPARE": not _POOLED,
    # How long a statement may take: of a command or a job, of a read of web's (config/wsgi.py), of a search.
    "STATEMENT_TIMEOUT": _STATEMENT_TIMEOUT,
    "READ_TIMEOUT": _duration("READ_TIMEOUT", default="5s"),
    "SEARCH_TIMEOUT": _duration("SEARCH_TIMEOUT", default="2s"),
}

# Mail: over SMTP, or without an address into a folder, a file each.
EMAIL_URL = env.str("EMAIL_URL", default="")
EMAIL_FROM = env.str("EMAIL_FROM", default="Meshwork <meshwork@localhost>")
SITE_URL = env.str("SITE_URL", default="").rstrip("/") or f"http://localhost:{env.int('PORT', default=8000)}"
INVITATION_DAYS = env.int("INVITATION_DAYS", default=7)
PASSWORD_RESET_MINUTES = env.int("PASSWORD_RESET_MINUTES", default=60)
PASSWORD_RESET_PAUSE = _duration("PASSWORD_RESET_PAUSE", default="5m")

# The mirror of contacts, calls and tasks as JSON: in a folder, or with a bucket in S3.
DOCUMENTS_DIR = Path(env.str("DOCUMENTS_DIR", default="") or DATA_DIR / "documents").resolve()
AWS_S3_BUCKET = env.str("AWS_S3_BUCKET", default="")
AWS_ENDPOINT_URL = env.str("AWS_ENDPOINT_URL", default="")
AWS_REGION = env.str("AWS_REGION", default="") or "us-east-1"
AWS_ACCESS_KEY_ID = env.str("AWS_ACCESS_KEY_ID", default="")
AWS_SECRET_ACCESS_KEY = env.str("AWS_SECRET_ACCESS_KEY", default="")

SUMMARIZER = env.str("SUMMARIZER", default="extractive")
SUMMARIZER_BASE_URL = env.str("SUMMARIZER_BASE_URL", default="")
SUMMARIZER_MODEL = env.str("SUMMARIZER_MODEL", default="")
SUMMARIZER_API_KEY = env.str("SUMMARIZER_API_KEY", default="")
SUMMARIZER_FALLBACK = env.bool("SUMMARIZER_FALLBACK", default=False)

# The shop.
CURRENCY = env.str("CURRENCY", default="EUR")
RESERVATION_TTL = _duration("RESERVATION_TTL", default="15m")
PAYMENTS = env.str("PAYMENTS", default="") or ("trust" if DEVELOPMENT else "manual")
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", default="")
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="").rstrip("/") or "https://api.stripe.com"

REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "mesh.descriptions.openapi.OperationSchema"}
SPECTACULAR_SETTINGS = {
    "TITLE": "Meshwork",
    "DESCRIPTION": (BASE_DIR / "docs" / "api-introduction.md").read_text(),
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": True, "displayRequestDuration": True, "docExpansion": "list"},
    "POSTPROCESSING_HOOKS": ["mesh.descriptions.openapi.add_components", "config.health.document"],
}

CORS_ALLOWED_ORIGINS = _listed("CORS_ALLOWED_ORIGINS", default=[])
CORS_ALLOWED_ORIGIN_REGEXES = [r"^https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$"] if DEVELOPMENT else []
CORS_ALLOW_HEADERS = [
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "prefer",
    "x-api-key",
    "x-request-id",
]
CORS_EXPOSE_HEADERS = ["Link", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID"]
CORS_EXPOSE_HEADERS += ["Idempotent-Replay", "Content-Disposition"]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = env.str("STATIC_ROOT", default="") or None  # where an image collected them; else from the packages
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
_STATIC = "django.contrib.staticfiles.storage.StaticFilesStorage"
if STATIC_ROOT:  # names with a digest, kept for ever, compressed beforehand
    _STATIC = "whitenoise.storage.CompressedManifestStaticFilesStorage"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _STATIC},
}

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
#: From anyone else config/headers.py takes it away.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
HTTPS = env.bool("HTTPS", default=not DEVELOPMENT)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "config.pages.forged"
# Unfold is built with Alpine, which makes functions of the expressions in its pages.
ADMIN_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
METRICS_PORT = env.int("METRICS_PORT", default=0)  # of processes that answer nothing else; 0: nowhere
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

LOGGING = logging_config(
    log_format=env.str("LOG_FORMAT", default="console" if DEVELOPMENT else "json"),
    level=env.str("LOG_LEVEL", default="INFO"),
)
