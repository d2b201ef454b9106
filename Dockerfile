# The connector alone: no sandbox, no tests, no build tools.
FROM docker.io/library/python:3.11-slim-bookworm AS build
RUN python -m venv --without-pip /connector
COPY requirements.txt .
# --no-deps: what the file leaves out is left out. Of the many services that botocore describes, S3 is used, and those by
# which a machine shows its identity.
RUN pip --python /connector install --no-cache-dir --no-deps -r requirements.txt \
 && find /connector/lib/*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
    ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -r {} +
WORKDIR /src
COPY setup.py pyproject.toml README.md ./
COPY destination_heap_analytics destination_heap_analytics
RUN pip --python /connector install --no-cache-dir --no-deps .

FROM docker.io/library/python:3.11-slim-bookworm
RUN useradd --create-home --uid 1000 airbyte
WORKDIR /airbyte/integration_code
COPY --from=build /connector /connector
COPY main.py .
# The base image has Python's own modules as source code only, which a user without write access would compile at every
# start. These first starts, as root, show that nothing is missing, and leave compiled what the commands need.
RUN /connector/bin/python main.py spec >/dev/null \
 && /connector/bin/python main.py check --config /dev/null >/dev/null \
 && /connector/bin/python -c "import boto3, s3transfer.manager"
USER airbyte

ENV AIRBYTE_ENTRYPOINT="/connector/bin/python /airbyte/integration_code/main.py"
ENTRYPOINT ["/connector/bin/python", "/airbyte/integration_code/main.py"]

LABEL io.airbyte.name=airbyte/destination-heap-analytics
LABEL io.airbyte.version=0.2.0
