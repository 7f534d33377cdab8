#!/bin/bash
# As the official image does: a cluster where the volume is empty, what is in /docker-entrypoint-initdb.d, the server.
set -euo pipefail
programs=$(ls -d /usr/lib/postgresql/*/bin) data=/var/lib/postgresql/data
export PATH=$PATH:$programs POSTGRES_USER=postgres
as() { setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp "$@"; }
mkdir -p $data /run/postgresql && chown postgres: $data /run/postgresql
if [ ! -e $data/PG_VERSION ]; then
  password=/run/postgresql/password
  install --owner=postgres --mode=600 <(echo "$POSTGRES_PASSWORD") $password
  as initdb -D $data -A scram-sha-256 --pwfile=$password >/dev/null
  rm $password
  sed -i 's/^local .*/local all all trust/' $data/pg_hba.conf
  echo 'host all all all scram-sha-256' >>$data/pg_hba.conf
  as pg_ctl -D $data -w -o "-c listen_addresses=''" start >/dev/null
  for script in /docker-entrypoint-initdb.d/*.sh; do as sh "$script"; done
  as pg_ctl -D $data -w stop >/dev/null
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups postgres -D $data -c 'listen_addresses=*'
