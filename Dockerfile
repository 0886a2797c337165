# The service on a CPU, with the default bundle and without torch: docker build -t emma .
FROM python:3.11.14-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_CACHE_DIR=/var/cache/pip
RUN python -m venv /opt/venv
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/venv/bin/python -m pip install --constraint constraints.txt ".[cpu]"


FROM python:3.11.14-slim-bookworm

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="emma" \
      org.opencontainers.image.description="Zero-shot relation extraction as a service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# A fixed number, so that the owner of a mounted volume can be set without looking into the image.
RUN groupadd --gid 10001 emma \
    && useradd --uid 10001 --gid emma --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin emma \
    && install --directory --owner=emma --group=emma --mode=0750 /data

COPY --from=build /opt/venv /opt/venv

ENV PATH="/opt/venv/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    EMMA_HOST=0.0.0.0 \
    EMMA_PORT=8000 \
    EMMA_DATA_DIR=/data

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

# /readyz answers 503 until the bundle is loaded and warm, and urllib raises on it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['EMMA_PORT']}/readyz\", timeout=2)"]

CMD ["emma", "serve"]
