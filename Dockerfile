# One image for every worker and listener: `docker build -t temporal-runner .`
#
# What it has of others is pinned with hashes (deploy/image/*.txt, written by `make pin` from
# constraints.txt). A machine whose pip is configured by variables hands them over at build time:
# `docker build --build-arg PIP_INDEX_URL …`. They reach the build stages only, not the image.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# The environment with everything but this project: changes only when a pin does.
FROM ${PYTHON_IMAGE} AS dependencies
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv --without-pip /opt/runner
COPY deploy/image/requirements.txt /build/
RUN python3 -m pip --python /opt/runner/bin/python install --quiet --no-deps --require-hashes \
      -r /build/requirements.txt

# This project's own distributions, laid out as they will stand in that environment.
FROM dependencies AS application
COPY deploy/image/build-requirements.txt /build/
RUN python3 -m venv /opt/build \
 && /opt/build/bin/python -m pip install --quiet --no-deps --require-hashes \
      -r /build/build-requirements.txt
COPY pyproject.toml README.md LICENSE /build/
COPY framework /build/framework
COPY plugins /build/plugins
WORKDIR /build
RUN /opt/build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels \
      . plugins/webhook plugins/s3 plugins/azure \
 && python3 -m pip --python /opt/runner/bin/python install --quiet --no-deps --no-index \
      --prefix /opt/application /wheels/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="temporal-runner" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/runner/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 --home-dir /var/lib/runner --create-home runner
COPY --from=dependencies /opt/runner /opt/runner
COPY --from=application /opt/application /opt/runner
WORKDIR /app
COPY deploy/wait_for_temporal.py ./
COPY configs ./configs
COPY examples ./examples
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
# What outlives a container: inboxes, dead letters, what listings remember.
VOLUME /var/lib/runner
HEALTHCHECK --interval=5s --timeout=5s --start-period=5s --retries=3 CMD ["runner", "health"]
ENTRYPOINT ["runner"]
CMD ["--help"]
