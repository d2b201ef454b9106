#!/bin/sh
# Starts heap-courier with the secrets that setup.sh created.
set -eu
secrets=${SECRETS:-/secrets}
: "${HEAP_COURIER_CONSOLE_TOKEN:=$(cat "$secrets/console-token")}"
: "${HEAP_WAREHOUSE:=postgresql://heap:$(cat "$secrets/warehouse-password")@postgresql/heap}"
export HEAP_COURIER_CONSOLE_TOKEN HEAP_WAREHOUSE
exec heap-courier "$@"
