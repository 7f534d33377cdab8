#!/bin/sh
# Writes .env from .env.example, a random value for each empty name, readable by its owner alone. One that is there stays.
set -eu
cd "$(dirname "$0")/.."
[ ! -e .env ] || exit 0
umask 077
while IFS= read -r line; do
  case $line in
    [A-Z]*=) echo "$line$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" ;;
    *) echo "$line" ;;
  esac
done <.env.example >.env.part
mv .env.part .env
echo "Random passwords are in .env now. Keep a copy of it: its keys open what the platform stores." >&2
