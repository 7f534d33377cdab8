#!/bin/sh
# What the official image of MariaDB has under this name.
exec mariadb-admin --silent ping
