"""The web server: Waitress, which gives a request a thread once all of it has come, within limits of our own.

`python -m portal.webserver --bind 127.0.0.1:8000 --processes 2` runs it.
"""
