"""The web server's entry. It refuses to start on unsafe settings or a wrong key."""

import gc
import os

from django.core.wsgi import get_wsgi_application

from portal.processes.logs import nothing_but_json

nothing_but_json()
os.umask(0o077)  # whatever the web process writes is for nobody else on this machine
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django_application = get_wsgi_application()

from portal.startup import refuse_unsafe_service  # noqa: E402
from portal.web.request_bounds import fit  # noqa: E402  # need the configured settings

application = fit(django_application)

refuse_unsafe_service()
gc.freeze()  # what is loaded by now stays: looking through it again and again would hold requests up
