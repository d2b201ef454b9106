# The connector alone: no sandbox, no tests, no build tools.
FROM docker.io/library/python:3.11-slim-bookworm AS build
WORKDIR /src
COPY setup.py pyproject.toml README.md ./
COPY destination_heap_analytics destination_heap_analytics
RUN python -m venv /connector && /connector/bin/pip install --no-cache-dir .

FROM docker.io/library/python:3.11-slim-bookworm
RUN useradd --create-home --uid 1000 airbyte
COPY --from=build /connector /connector
COPY main.py /airbyte/integration_code/main.py
WORKDIR /airbyte/integration_code
USER airbyte

ENV AIRBYTE_ENTRYPOINT="/connector/bin/python /airbyte/integration_code/main.py"
ENTRYPOINT ["/connector/bin/python", "/airbyte/integration_code/main.py"]

LABEL io.airbyte.name=airbyte/destination-heap-analytics
LABEL io.airbyte.version=0.2.0
