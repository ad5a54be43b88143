"""All settings, read from the environment through django-environ; `.env.example` explains each one.

Nothing is written here: `portal.places` makes the folders when a process starts, and `portal.keys.making` the
keys of a new portal. Whatever a run writes lies below PORTAL_HOME. A value named in NAME_FILE is read from
that file.
"""

import os
from logging import getLevelNamesMapping
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF

from portal.environment import Environment, env
from portal.private_files import lines_of, read_key
from portal.processes.database import BUSY_SECONDS, try_again
from portal.processes.logs import JSON

BASE_DIR = Path(__file__).resolve().parent.parent
Environment.read_env(BASE_DIR / ".env")

PORTAL_HOME = Path(env.str("PORTAL_HOME", default=str(BASE_DIR / "var"))).resolve()
KEYS = PORTAL_HOME / "keys"


def key(name: str) -> str:
    """Return a key, or an empty string if it is missing. Nothing is made here: see portal/keys/making.py.

    It comes from the environment, from the file that NAME_FILE names, or from PORTAL_HOME/keys. A file ends
    with a line break, which is no part of the key.
    """
    env.note(name)
    file = os.environ.get(f"{name}_FILE", "")
    given = "" if file else os.environ.get(name, "").strip()
    return given or read_key(Path(file) if file else KEYS / name.lower())


# A key's file may hold several keys, a line each, while one takes the place of another: see docs/keys.md.
SECRET_KEY, *SECRET_KEY_FALLBACKS = lines_of(key("SECRET_KEY")) or [""]
KEYRING = key("KEYRING")
FINGERPRINT_KEY = key("FINGERPRINT_KEY")
AUDIT_KEY = key("AUDIT_KEY")
# Each process keeps the newest head of the history here, outside the database.
AUDIT_HEAD_PATH = Path(env.str("AUDIT_HEAD_PATH", default=str(KEYS / "audit_head")))
# The portal signs heads of the history and evidence packs with it; it makes the file at its first signature.
SIGNING_KEY_PATH = Path(env.str("SIGNING_KEY_PATH", default=str(KEYS / "signing_key")))
SSH_KEY_PATH = Path(env.str("SSH_KEY_PATH", default=str(KEYS / "ssh_key")))

# The web
# Without ALLOWED_HOSTS the portal serves this machine alone, without TLS; naming a host switches TLS on.
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
HTTPS = env.bool("HTTPS", default=bool(ALLOWED_HOSTS))
ALLOWED_HOSTS = ALLOWED_HOSTS or ([] if HTTPS else ["127.0.0.1", "localhost", "[::1]"])
DEBUG = False
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
TRUSTED_PROXY_HOPS = env.int("TRUSTED_PROXY_HOPS", default=0)
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_HOPS else None
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_NAME = "__Host-sid" if HTTPS else "sid"
SESSION_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = env.int("SESSION_IDLE_SECONDS", default=3600)
SESSION_SAVE_EVERY_REQUEST = True
SESSION_SERIALIZER = "portal.no_secrets.SessionSerializer"
SESSION_ABSOLUTE_SECONDS = env.int("SESSION_ABSOLUTE_SECONDS", default=36000)
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "csrf"
CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000  # a pasted inventory; portal.web.request_bounds knows tighter bounds
DATA_UPLOAD_MAX_NUMBER_FIELDS = 12_000  # a rollout of 10,000 installations is chosen with one checkbox each
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]  # never a temporary file
FILE_UPLOAD_MAX_MEMORY_SIZE = 21 * 1024 * 1024  # an inventory file
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "font-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
    }
}

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "csp",
    "django_htmx",
    "portal",
    "portal.health",
    "portal.keys",
    "portal.audit",
    "portal.people",
    "portal.notices",
    "instances",
    "instances.discovery",
    "credentials",
    "credentials.rollouts",
    "credentials.coverage",
    "credentials.rotation",
    "credentials.evidence",
    "credentials.wizard",
]

MIDDLEWARE = [
    "portal.web.middleware.room_for_calls",
    "portal.health.middleware.health",
    "portal.web.middleware.request_identity",
    "portal.people.proxy.notice_proxies",
    # what only adds headers comes before whatever may refuse a request
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "portal.web.middleware.no_store",
    "portal.web.request_bounds.refuse_misfits",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "portal.web.middleware.session_limit",
    "portal.web.preferences.as_preferred",
    # a stranger's form is parsed by the sign-in page alone, and nobody's before it was bounded
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "portal.web.request_bounds.BoundedForms",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "portal.web.middleware.clean_addresses",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.web.middleware.refusals",
    "portal.web.middleware.wrong_methods",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["portal.web.tags"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "credentials.rollouts.pages.attention.attention",
            ],
        },
    }
]

FORM_RENDERER = "django.forms.renderers.TemplatesSetting"  # templates/django/forms goes before Django's own

STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(PORTAL_HOME / "static")))
STATICFILES_DIRS = [BASE_DIR / "static", ("help", BASE_DIR / "docs" / "help" / "pictures")]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", default="UTC")

# People
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
AUTHENTICATION_BACKENDS = ["portal.people.backend.PasswordBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "portal.people.passwords.NotEasilyGuessed"},
]

# The database is the truth
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{PORTAL_HOME / 'portal.sqlite3'}")}
DATABASE_POOL = env.int("DATABASE_POOL", default=8)
DATABASES["default"]["ATOMIC_REQUESTS"] = False
DATABASES["default"]["TEST"] = {"NAME": env.str("TEST_DATABASE_NAME", default="") or None}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["TEST"] = {"NAME": str(PORTAL_HOME / "test.sqlite3")}
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # secure_delete: what was removed is overwritten, not only left out
        "init_command": (
            "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON;PRAGMA secure_delete=ON"
        ),
    }

# Celery is only the doorbell
QUEUE = PORTAL_HOME / "queue"
CELERY_BROKER_URL = env.str("BROKER_URL", default="filesystem://localhost")
if CELERY_BROKER_URL.startswith("filesystem:"):
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {
        "data_folder_in": str(QUEUE),
        "data_folder_out": str(QUEUE),
        "control_folder": str(QUEUE / "control"),
        "polling_interval": 0.2,
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "visibility_timeout": 600,
        "socket_timeout": 5,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry_on_timeout": False,
        "global_keyprefix": "portal:",
    }
    CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_ACKS_LATE = False  # the message is a doorbell; the row is the job
CELERY_TASK_DEFAULT_QUEUE = "bell"
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.1,
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONCURRENCY = 2  # they only put containers into line; PUSHES_PER_WORKER is what counts
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = env.float("WORKER_SOFT_SHUTDOWN_SECONDS", default=100)

# Reaching containers
TARGET_NETWORKS = env.list("TARGET_NETWORKS", default=[])
ALLOW_LOOPBACK_TARGETS = env.bool("ALLOW_LOOPBACK_TARGETS", default=False)
CAMPAIGN_USER = env.str("CAMPAIGN_USER", default="neolane")

# Limits of one process
PUSHES_PER_WORKER = env.int("PUSHES_PER_WORKER", default=32)
DIALS_PER_WORKER = env.int("DIALS_PER_WORKER", default=6000)
# Times three workers this stays below ten, where an sshd's usual MaxStartups begins to refuse.
PUSHES_PER_JUMP_HOST = env.int("PUSHES_PER_JUMP_HOST", default=3)
# However large a rollout is, what else is asked for finds a place.
PUSHES_PER_ROLLOUT = env.int("PUSHES_PER_ROLLOUT", default=max(1, PUSHES_PER_WORKER * 7 // 8))

# Pushes; all times in seconds
PUSH_COMMAND_LIMIT = env.int("PUSH_COMMAND_LIMIT", default=60)
PUSH_CONNECT_TIMEOUT = env.float("PUSH_CONNECT_TIMEOUT", default=10)
PUSH_READY_TIMEOUT = env.float("PUSH_READY_TIMEOUT", default=60)
PUSH_SECOND_LOOK = env.float("PUSH_SECOND_LOOK", default=10)
PUSH_LEASE = env.int("PUSH_LEASE", default=120)
PUSH_LEASE_RENEWAL = env.float("PUSH_LEASE_RENEWAL", default=20)
PUSH_RETRY_DELAYS = env.list("PUSH_RETRY_DELAYS", cast=int, default=[15, 60, 300, 900])
RECONCILE_INTERVAL = env.float("RECONCILE_INTERVAL", default=15)

# How often each container is read without being asked for, in seconds; 0: never
READ_INTERVAL = env.int("READ_INTERVAL", default=24 * 3600)

# For how many days is kept what only helps at work; 0: for ever
KEEP_OUTPUT_DAYS = env.int("KEEP_OUTPUT_DAYS", default=365)
KEEP_READINGS_DAYS = env.int("KEEP_READINGS_DAYS", default=90)
KEEP_SIGHTS_DAYS = env.int("KEEP_SIGHTS_DAYS", default=0)
KEEP_NOTICES_DAYS = env.int("KEEP_NOTICES_DAYS", default=90)
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"]["OPTIONS"] = {
        # The threads of a process share these connections.
        "pool": {
            "min_size": 1,
            "max_size": DATABASE_POOL,
            "timeout": BUSY_SECONDS,
            "reconnect_timeout": 1,
            "reconnect_failed": try_again,
        },
        # A worker that is frozen inside a transaction keeps rows locked: nobody could take over from it. And
        # compiling a statement takes PostgreSQL seconds, where running any of ours takes milliseconds.
        "options": f"-c idle_in_transaction_session_timeout={PUSH_LEASE}s -c jit=off",
        # A server that vanished without a word is noticed within seconds, not hours.
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        **DATABASES["default"].get("OPTIONS", {}),
    }

# Adobe
IMS_BASE_URL = env.str("IMS_BASE_URL", default="https://ims-na1.adobelogin.com")
ADOBE_PROXY = env.str("ADOBE_PROXY", default="")
ADOBE_CA_BUNDLE = env.str("ADOBE_CA_BUNDLE", default="")
ADOBE_CONSOLE_URL = env.str("ADOBE_CONSOLE_URL", default="https://api.adobe.io")
IMS_TEST_SCOPES = env.list("IMS_TEST_SCOPES", default=["openid", "AdobeID"])

# Rotations; all times in seconds. For how long nobody may have used a secret before it is deleted, how old
# the sight of a container may be then, how often Adobe is asked meanwhile, how often a rotation is looked at.
ROTATION_IDLE = env.int("ROTATION_IDLE", default=24 * 3600)
ROTATION_READ_WITHIN = env.int("ROTATION_READ_WITHIN", default=24 * 3600)
ROTATION_ASK_INTERVAL = env.int("ROTATION_ASK_INTERVAL", default=300)
ROTATION_LEASE = env.int("ROTATION_LEASE", default=45)
ROTATION_PAUSE = env.float("ROTATION_PAUSE", default=5)

# Notices by mail and webhook. Without EMAIL_HOST no mail is sent.
EMAIL_HOST = env.str("EMAIL_HOST", default="")
EMAIL_PORT = env.int("EMAIL_PORT", default=587)
EMAIL_SECURITY = env.str("EMAIL_SECURITY", default="starttls").lower()
EMAIL_HOST_USER = env.str("EMAIL_USER", default="")
EMAIL_HOST_PASSWORD = env.str("EMAIL_PASSWORD", default="")
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="")
NOTICE_NETWORKS = env.list("NOTICE_NETWORKS", default=TARGET_NETWORKS)
NOTICE_CA_BUNDLE = env.str("NOTICE_CA_BUNDLE", default="")
# What links in notices begin with; by default the first host, if it is a name and not a pattern.
_HOST = next((host for host in ALLOWED_HOSTS if host[0] not in ".*"), "") if HTTPS else ""
PORTAL_URL = env.str("PORTAL_URL", default=f"https://{_HOST}" if _HOST else "")

# Logs: one line per event on stderr
LOG_FORMAT = env.str("LOG_FORMAT", default="text")
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "context": {"()": "portal.processes.logs.Context"},
        "repeated": {"()": "portal.processes.logs.Repeated"},
        "seldom": {"()": "portal.processes.logs.Seldom"},
        "no_secrets": {"()": "portal.processes.logs.NoSecrets"},
    },
    "formatters": {
        "text": {"()": "portal.processes.logs.Text"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            **JSON,
        },
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            # portal.checks refuses other formats
            "formatter": LOG_FORMAT if LOG_FORMAT in ("text", "json") else "text",
            "filters": ["context", "repeated", "no_secrets"],
        },
        "refusals": {"class": "portal.processes.logs.Refusals"},
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL if LOG_LEVEL in getLevelNamesMapping() else "INFO"},
    "loggers": {
        "django.request": {"level": "ERROR"},  # the access log has every refused request
        "django.security": {"handlers": ["refusals"], "propagate": False},  # and why it was refused
        "paramiko": {"level": "WARNING"},
        "celery": {"level": "INFO"},
        "urllib3": {"level": "WARNING"},
        # They try again every few seconds while database or broker are away, and say so each time.
        "celery.worker.consumer.consumer": {"filters": ["seldom"]},
        "instances.visits.dispatcher": {"filters": ["seldom"]},
        "credentials.rollouts.housekeeping": {"filters": ["seldom"]},
        "credentials.rollouts.reconciler": {"filters": ["seldom"]},
        "instances.visits.bells": {"filters": ["seldom"]},
        "instances.reaching.key_scans": {"filters": ["seldom"]},
        "portal.processes.housekeeping": {"filters": ["seldom"]},
        "portal.health.metrics": {"filters": ["seldom"]},
        "psycopg.pool": {"filters": ["seldom"]},
        "waitress": {"level": "WARNING"},
        "waitress.queue": {"level": "ERROR"},  # a line for every request of a crowd
    },
}
