"""The portal's settings with Django's admin, which the portal has not: to compare its pages with."""

import os

os.environ.setdefault("HTTPS", "False")

from portal.settings import *  # noqa: F403  # the environment comes first

INSTALLED_APPS = ["django.contrib.admin", *INSTALLED_APPS]  # noqa: F405
ROOT_URLCONF = "tests.benchmarks.admin_urls"
STATIC_ROOT = PORTAL_HOME / "admin-static"  # noqa: F405
TEMPLATES[0]["OPTIONS"]["context_processors"].remove("credentials.rollouts.pages.attention.attention")  # type: ignore[index] # noqa: F405
