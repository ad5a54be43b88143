"""Replaces the former settings of Gunicorn: tells people who still start it what serves the portal now."""

raise SystemExit(
    "Gunicorn no longer serves the portal: it lets a few half-sent requests hold all others up. "
    "Start it with: python -m portal.webserver --bind ADDRESS:PORT --processes NUMBER"
)
