#!/bin/sh
# checkout.sh TAG: nothing, unless an image of that tag was made of a commit that this checkout does not have: it is
# newer, or somebody else's, and would be replaced by what is older. Then what to do, and 1.
set -eu
cd "$(dirname "$0")/.."
here=$(git rev-parse HEAD 2>/dev/null) || exit 0 # no git, nothing to compare
for name in api model-server pipelines airflow; do
  image=road-accidents/$name:$1
  made_of=$(docker image inspect "$image" --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' 2>/dev/null) || continue
  case $made_of in "" | unknown) continue ;; esac
  git merge-base --is-ancestor "$made_of" HEAD 2>/dev/null && continue
  echo "$image was made of commit $made_of, which this checkout ($here) does not have." >&2
  echo "Bring the checkout up to date (git pull), give yours a name of its own (make up TAG=mine), or replace the" \
    "images: make images." >&2
  exit 1
done
