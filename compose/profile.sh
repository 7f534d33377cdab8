#!/bin/sh
# profile.sh PROFILE COMPOSE...: nothing, where docker-compose.yml has that profile or none is asked for; else which there
# are, and 1. Compose itself takes any name, and starts nothing more then.
set -eu
cd "$(dirname "$0")/.."
profile=$1
shift
[ -n "$profile" ] || exit 0
there=$(env "$@" config --profiles | sed '/^$/d')
echo "$there" | grep -qxF -- "$profile" && exit 0
echo "docker-compose.yml has no profile $profile. It has:" ${there:-none}. >&2
exit 1
