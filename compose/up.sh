#!/bin/sh
# up.sh COMPOSE...: starts what docker-compose.yml says, waits until all of it is well, and says where it is; else what
# is not well, why, and what to do. COMPOSE is the command with its options, such as `docker compose`.
set -u
cd "$(dirname "$0")/.."
patience=${UP_SECONDS:-300}
if ! env "$@" version >/dev/null 2>&1; then
  echo "Docker Compose is not installed: https://docs.docker.com/compose/install, or Debian's docker-compose." >&2
  exit 1
fi

# The engine would make it for root alone.
models=${MODELS:-$(sed -n 's/^MODELS=//p' .env 2>/dev/null)}
models=${models:-.serving/platform}
mkdir -p "$models"

# SERVICE STATE HEALTH EXIT-CODE OUT-OF-MEMORY ID: a line each container
states() {
  [ -z "$containers" ] || docker inspect $containers --format '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}}
    {{- if .State.Health}} {{.State.Health.Status}}{{else}} -{{end}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.ID}}'
}

# Those that are not well; of them, those that may still become it, and those that will not
unwell() { awk '!($2 == "running" && ($3 == "-" || $3 == "healthy")) && !($2 == "exited" && $4 == 0)'; }
coming() { awk '$2 == "restarting" || $3 == "starting"'; }
failed() { awk '$2 != "restarting" && $3 != "starting"'; }

remedy() {
  case $1 in
    *"already allocated"* | *"already in use"*) echo "Something else has that port: name another one in .env (API_PORT and the like)." ;;
    *"password authentication failed"* | *"Access denied"* | *"SignatureDoesNotMatch"*) echo "A volume keeps the password it was made with: give .env the old one back." ;;
    *"o space left"*) echo "The disk is full: docker system df says with what." ;;
  esac
}

tell() {
  while read -r service state health code oom container; do
    said=$(docker inspect "$container" --format '{{.State.Error}}'; docker logs --tail 8 "$container" 2>&1)
    echo
    echo "$service is $state$([ "$health" = - ] || echo ", $health")$([ "$code" = 0 ] || echo ", exit code $code")."
    [ "$oom" = false ] || echo "It took more memory than its mem_limit in docker-compose.yml."
    echo "$said" | sed '/^$/d; s/^/  | /'
    remedy "$said"
  done
}

# Images that are not here: none could be pulled after one that could not
missing() {
  for image in $(env "$@" config | sed -n 's/^ *image: //p' | sort -u); do
    docker image inspect "$image" >/dev/null 2>&1 || echo "  $image"
  done
}

env "$@" up --detach && started=yes || started=no
containers=$(env "$@" ps --all --quiet)
end=$(($(date +%s) + patience))
while [ $started = yes ] && [ -n "$(states | unwell | coming)" ] && [ "$(date +%s)" -lt $end ]; do sleep 2; done
left=$(states | unwell)
if [ $started = no ] || [ -n "$left" ]; then
  first=$(echo "$left" | failed) images=
  [ $started = yes ] || images=$(missing "$@")
  {
    [ -z "$images" ] || printf '\nImages that are not on this machine:\n%s\n%s\n' "$images" \
      "Ours: make images. Others: docker pull NAME, or docker load from where a registry can be reached."
    echo "${first:-$left}" | sed '/^$/d' | tell
    echo; echo "Not all of it started. What runs stays; make up goes on, make down ends it."
  } >&2
  exit 1
fi

echo
for one in api:8000 zenml:8080 mlflow:5000 grafana:3000 prometheus:9090 alertmanager:9093 airflow:8080; do
  at=$(env "$@" port "${one%:*}" "${one#*:}" 2>/dev/null) && printf '%-14s http://%s\n' "${one%:*}" "$at"
done
echo
[ -n "$(ls "$models" 2>/dev/null)" ] || echo "There is no model yet: train and deploy one here, then make model."
echo "Who looks at the model, from here: .venv/bin/python -m commands.platform monitor --every 6h --decide-only"
echo "Accounts and passwords: .env. A key of the API: docker exec $(env "$@" ps --quiet api) cat .serving/caller"
