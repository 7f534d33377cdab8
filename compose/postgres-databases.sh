#!/bin/sh
# Run once, by the PostgreSQL image, when its volume is new: a database and an account each for predictions and MLflow.
set -eu
account() {
  psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --set name="$1" --set password="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name" ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
}
account predictions "$PREDICTIONS_DATABASE_PASSWORD"
account mlflow "$MLFLOW_DATABASE_PASSWORD"
