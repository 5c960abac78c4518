#!/bin/sh
# Makes the database of the studies beside Airflow's; the image of PostgreSQL runs this once.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set password="$(cat /run/secrets/studies_password)" <<'SQL'
CREATE ROLE studies LOGIN PASSWORD :'password';
CREATE DATABASE studies OWNER studies;
SQL
