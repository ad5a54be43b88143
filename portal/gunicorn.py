"""Stands where the settings of Gunicorn were: who still starts it is told what serves the portal now."""

raise SystemExit(
    "Gunicorn no longer serves the portal: it lets a few half-sent requests hold all others up. "
    "Start it with: python -m portal.webserver --bind ADDRESS:PORT --processes NUMBER"
)
