#!/bin/sh
# engine.sh: nothing, where containers can be built and started here; else why not and what to do, and 1.
set -eu
if ! command -v docker >/dev/null; then
  echo "Docker is not installed: https://docs.docker.com/engine/install, or Debian's docker.io and docker-compose." >&2
  exit 1
fi
if ! said=$(docker version 2>&1 >/dev/null); then
  echo "Docker's engine does not answer: $(echo "$said" | tail -n 1)" >&2
  echo "Start it (sudo systemctl start docker, or Docker Desktop). Where it runs, you may lack the right to use it:" \
    "sudo usermod -aG docker $(id -un), and log in again." >&2
  exit 1
fi
