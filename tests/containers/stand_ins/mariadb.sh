#!/bin/bash
# As the official image does: a database and its account where the volume is empty, the server.
set -euo pipefail
data=/var/lib/mysql
mkdir -p $data /run/mysqld && chown mysql: $data /run/mysqld
if [ ! -d $data/mysql ]; then
  mariadb-install-db --user=mysql --datadir=$data --skip-test-db >/dev/null
  cat >/run/mysqld/first.sql <<SQL
CREATE DATABASE $MARIADB_DATABASE;
CREATE USER '$MARIADB_USER'@'%' IDENTIFIED BY '$MARIADB_PASSWORD';
GRANT ALL ON $MARIADB_DATABASE.* TO '$MARIADB_USER'@'%';
SQL
  first=(--init-file=/run/mysqld/first.sql)
fi
exec mariadbd --user=mysql --datadir=$data --bind-address=0.0.0.0 "${first[@]}"
