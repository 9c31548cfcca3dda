#!/usr/bin/env bash
# Prints the secrets of the overlay, with passwords drawn anew, for `kubectl apply -f -`. Once: the database keeps to its
# password and to the master key.
set -euo pipefail
export LC_ALL=C

password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
rabbitmq=$(password) redis=$(password) postgres=$(password)

secret() { kubectl create secret generic "$@" --namespace spectrum-webhook --dry-run=client --output yaml; }

# From files, so that no password stands in the arguments of a process.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/services" "$folder/program"
printf %s "$rabbitmq" > "$folder/services/rabbitmq"
printf %s "$redis" > "$folder/services/redis"
printf %s "$postgres" > "$folder/services/postgres"
printf %s "amqp://spectrum:$rabbitmq@spectrum-webhook-rabbitmq:5672/%2f" > "$folder/program/amqp-url"
printf %s "redis://:$redis@spectrum-webhook-redis:6379" > "$folder/program/redis-url"
printf %s "postgres://spectrum:$postgres@spectrum-webhook-postgres:5432/spectrum" > "$folder/program/database-url"
printf %s "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" > "$folder/program/master-key"
secret spectrum-webhook-services --from-file="$folder/services"
echo ---
secret spectrum-webhook --from-file="$folder/program"
