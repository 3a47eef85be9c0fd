# SPDX-License-Identifier: MIT
"""Django's settings. What an administrator may change is not here but in `mailserver.config.catalog`."""

import os
from pathlib import Path

from admin_ui.theme import UNFOLD as CONSOLE_THEME
from mailserver.project.environment import database_config, read_environment
from mailserver.project.keys import read_or_make_key

os.umask(0o027)  # the database, bodies and logs are mail: every process makes them so, whatever folder it is given

BASE_DIR = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = read_environment()
DATA = ENVIRONMENT.data

SECRET_KEY = read_or_make_key(ENVIRONMENT.key_file).django
DEBUG = False
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "admin_ui",  # in front of the theme, a few of whose templates it replaces
    "unfold.apps.BasicAppConfig",
    "django.contrib.admin.apps.SimpleAdminConfig",  # no autodiscovery: daemons and workers do not load the console
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "mailserver",
    "mailserver.config",
    "mailserver.addressing",
    "mailserver.users",
    "mailserver.store",
    "mailserver.outqueue",
    "mailserver.activity",
    "mailserver.journey",
    "mailserver.work",
    "mailserver.leases",
    "mailserver.connectors",
    "mailserver.lan",
    "protocols",
    "workers",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "admin_ui.middleware.StaticFiles",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "admin_ui.middleware.show_local_time",
]

ROOT_URLCONF = "mailserver.project.urls"
ASGI_APPLICATION = "mailserver.project.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
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

DATABASES = {"default": database_config(ENVIRONMENT)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "users.User"
AUTHENTICATION_BACKENDS = ["mailserver.users.backend.MailUserBackend"]
PASSWORD_HASHERS = ["mailserver.users.passwords.OfficeArgon2Hasher"]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
UNFOLD = CONSOLE_THEME

# Two installations on one machine differ only by port, which cookies do not see. Behind a proxy that ends TLS on this
# machine uvicorn takes the scheme from X-Forwarded-Proto, so that the Origin check of CSRF needs no list of names.
SESSION_COOKIE_NAME = f"pillarbox_session_{ENVIRONMENT.web_port}"
CSRF_COOKIE_NAME = f"pillarbox_csrf_{ENVIRONMENT.web_port}"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
X_FRAME_OPTIONS = "DENY"

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = ["admin_ui.formats"]

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

SILENCED_SYSTEM_CHECKS: list[str] = []
