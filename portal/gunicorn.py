"""Gunicorn's settings for every way to start the web server: `gunicorn --config python:portal.gunicorn`.

Its own lines go the way of all others. The access log is ours (`portal.middleware`), for it knows the
request's id and person; Gunicorn's stays silent.
"""

from portal.settings import LOGGING

wsgi_app = "portal.wsgi"
worker_class = "gthread"
threads = 8
control_socket_disable = True
logconfig_dict = {
    **LOGGING,
    "loggers": {
        **LOGGING["loggers"],
        "gunicorn.error": {"level": "INFO", "propagate": True},
        "gunicorn.access": {"level": "CRITICAL"},
    },
}
