#!/bin/sh
# Writes .env from .env.example, a random value for each empty name, readable by its owner alone. One that is there stays,
# but that one older than Airflow's profile gets the names of that. No other: a lost password must not become a new one.
set -eu
cd "$(dirname "$0")/.."
umask 077
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
if [ -e .env ]; then
  grep -q '^AIRFLOW_' .env || {
    [ -z "$(tail -c 1 .env)" ] || echo # whose last line an editor left without an end
    sed -n '/^AIRFLOW_.*=$/p' .env.example | while IFS= read -r line; do
      echo "$line$(random)"
    done
  } >>.env
  exit 0
fi
while IFS= read -r line; do
  case $line in
    [A-Z]*=) echo "$line$(random)" ;;
    *) echo "$line" ;;
  esac
done <.env.example >.env.part
mv .env.part .env
echo "Random passwords are in .env now. Keep a copy of it: its keys open what the platform stores." >&2
