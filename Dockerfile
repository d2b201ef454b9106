# The connector alone: no sandbox, no tests, no build tools. Where the registry cannot be reached, another image with
# Python 3.11 takes the place of the base: --build-arg BASE=...
ARG BASE=docker.io/library/python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
FROM ${BASE} AS build
RUN python -m venv --without-pip /connector
COPY requirements.txt build-requirements.txt ./
# --no-deps: what the file leaves out is left out. Of the many services that botocore describes, S3 is used, and those by
# which a machine shows its identity.
RUN pip install --no-cache-dir --require-hashes -r build-requirements.txt \
 && pip --python /connector install --no-cache-dir --no-deps --require-hashes -r requirements.txt \
 && find /connector/lib/*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
    ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -r {} + \
 && find /connector/lib/*/site-packages/botocore/data -name 'examples-*.json' -delete
WORKDIR /src
COPY setup.py pyproject.toml README.md ./
COPY destination_heap_analytics destination_heap_analytics
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /connector install --no-cache-dir --no-deps /wheels/*

FROM ${BASE}
RUN useradd --create-home --uid 1000 airbyte
WORKDIR /airbyte/integration_code
COPY --from=build /connector /connector
COPY main.py .
# The base image has Python's own modules as source code only, which a user without write access would compile at every
# start. These first starts, as root, show that nothing is missing, and leave compiled what the commands need.
RUN /connector/bin/python main.py spec >/dev/null \
 && /connector/bin/python main.py check --config /dev/null >/dev/null \
 && /connector/bin/python -c "import boto3, s3transfer.manager"
USER 1000:1000

ENV AIRBYTE_ENTRYPOINT="/connector/bin/python /airbyte/integration_code/main.py"
ENTRYPOINT ["/connector/bin/python", "/airbyte/integration_code/main.py"]

LABEL io.airbyte.name=airbyte/destination-heap-analytics
LABEL io.airbyte.version=0.2.0
