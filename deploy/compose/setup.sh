#!/bin/sh
# Creates what the services share, unless it exists: a project, the warehouse's password, and the console's token and
# certificate. Runs in the courier's image.
set -eu
umask 077
project=${PROJECT:-/project}
secrets=${SECRETS:-/secrets}

random() { python -c 'import secrets; print(secrets.token_hex(20))'; }

[ -e "$project/heap-courier.yaml" ] || heap-courier init --empty --engine postgresql "$project"
[ -s "$secrets/warehouse-password" ] || random >"$secrets/warehouse-password"
[ -s "$secrets/console-token" ] || random >"$secrets/console-token"
if [ ! -s "$secrets/console.crt" ]; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,DNS:console,DNS:bucket,IP:127.0.0.1' \
    -keyout "$secrets/console.key" -out "$secrets/new.crt" 2>/dev/null
  mv "$secrets/new.crt" "$secrets/console.crt"
fi
cat /etc/ssl/certs/ca-certificates.crt "$secrets/console.crt" >"$secrets/trusted.crt"

echo "Console: https://localhost:8480/ (your browser will warn about its certificate, which was created here)"
if [ -n "${HEAP_COURIER_CONSOLE_TOKEN:-}" ]; then
  echo "Token: as set in HEAP_COURIER_CONSOLE_TOKEN"
else
  echo "Token: $(cat "$secrets/console-token")"
fi
