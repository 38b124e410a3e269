#!/bin/sh
# Run once, by the Postgres image, on an empty volume. Meshwork's role owns its database and nothing more; after this
# the superuser signs in from within the container alone: docker compose exec postgres psql --username postgres
set -eu
psql --set ON_ERROR_STOP=1 --set password="$POSTGRES_PASSWORD" --username postgres <<'SQL'
CREATE ROLE meshwork LOGIN PASSWORD :'password';
CREATE DATABASE meshwork OWNER meshwork;
ALTER ROLE postgres PASSWORD NULL;
SQL
