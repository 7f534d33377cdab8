# The pipelines: run.py and all it runs, from the lock that a laptop installs, and what S3 and MLflow's logins need.
#   docker build .    `make images` builds it and the servers' (serving/Dockerfile), and tells version and commit
# For a stack of another cloud: --build-arg LOCK=azure or LOCK=gcp, whose clients are in it then in place of S3's.
# With Dask, for `engine: dask`, its scheduler and its workers: --build-arg WITH=dask (docs/kubernetes.md).
# ZenML's orchestrators run steps in it; ZenML's and MLflow's own servers are in it too (docker-compose.yml).
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS code
WORKDIR /image/app
COPY . .
# What a run on a store of its own writes is under /state: one volume, and the rest of the root may be read-only.
RUN for name in .zenml .serving .dvc/cache .dvc/tmp data reports; do \
      mkdir -p "/image-state/state/${name#.}" && ln -s "/state/${name#.}" "$name"; done \
    && sh requirements/image-times.sh /image-state \
    && sh requirements/image-times.sh /image

FROM ${BASE_IMAGE} AS environment
ARG LOCK=platform
ARG WITH=
COPY requirements/image-environment.sh requirements/image-times.sh requirements/${WITH:-uv}.txt requirements/uv.txt \
     requirements/${LOCK}.txt /build/
RUN sh /build/image-environment.sh /build/${LOCK}.txt ${WITH:+/build/${WITH}.txt}

FROM ${BASE_IMAGE} AS pipelines
COPY --from=environment /image/ /
COPY --from=code /image/ /
COPY --from=code --chown=10001:10001 /image-state/ /
ENV PATH=/venv/bin:$PATH \
    HOME=/tmp \
    USER=accidents \
    DVC_SITE_CACHE_DIR=/tmp/dvc \
    LD_LIBRARY_PATH=/venv/lib \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
# A run ends by itself; the servers that run in this image have health checks of their own in docker-compose.yml.
HEALTHCHECK NONE
CMD ["python", "run.py", "--help"]
ARG VERSION=unknown
ARG COMMIT=unknown
ARG CODE=unknown
# Without git the image tells what every run and version in it is made of.
ENV ACCIDENTS_COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="road-accidents pipelines" \
      org.opencontainers.image.description="Train, deploy, score and monitor on a ZenML stack" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      accidents.code="${CODE}"
