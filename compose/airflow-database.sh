#!/bin/sh
# Has PostgreSQL have a database and an account for Airflow, with the password of .env, whenever the profile is started:
# the platform's volume may be older than it.
set -eu
PGPASSWORD=$POSTGRES_PASSWORD psql --set ON_ERROR_STOP=1 --quiet --host postgres --username postgres \
  --set password="$AIRFLOW_DATABASE_PASSWORD" <<'SQL'
SELECT 'CREATE ROLE airflow LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'airflow') \gexec
ALTER ROLE airflow PASSWORD :'password';
SELECT 'CREATE DATABASE airflow OWNER airflow ENCODING ''UTF8'' TEMPLATE template0'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'airflow') \gexec
REVOKE ALL ON DATABASE airflow FROM PUBLIC;
SQL
