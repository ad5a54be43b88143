# The portal: web server, worker, scheduler and commands, all from one image; it holds no key and no setting.
# An index or a proxy is given by the usual build arguments: PIP_INDEX_URL, HTTPS_PROXY.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
WORKDIR /tmp/dependencies
COPY pyproject.toml constraints.txt ./
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --no-cache-dir --constraint constraints.txt .
WORKDIR /srv/portal
COPY . .
# Settings make the folder that a run writes to: that of the build ends with it. No key is made here.
RUN rm -r portal/sandbox \
 && PORTAL_HOME=/tmp/build STATIC_ROOT=/srv/portal/staticfiles /opt/venv/bin/python manage.py collectstatic --noinput \
 && rm -r /tmp/build \
 && /opt/venv/bin/python -m compileall -q .

FROM ${PYTHON_IMAGE}
# pg_dump and pg_restore, for the backup; their version is that of the server in docker-compose.yml.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends postgresql-client-15 \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home --home-dir /var/lib/campaign-portal --shell /usr/sbin/nologin portal \
 && chmod 0700 /var/lib/campaign-portal \
 && install -d -m 0700 -o portal -g portal /var/lib/campaign-head
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/portal /srv/portal
ENV PATH=/opt/venv/bin:$PATH \
    PORTAL_HOME=/var/lib/campaign-portal \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STATIC_ROOT=/srv/portal/staticfiles \
    WEB_CONCURRENCY=2
WORKDIR /srv/portal
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=3 CMD ["python", "deploy/healthy.py", "web"]
CMD ["python", "-m", "portal.webserver", "--bind", "0.0.0.0:8000"]
