#!/bin/sh
# image-environment.sh LOCK [OTHER]: makes the environment /venv of a lock, and of another that agrees with it, under
# /image, for an image to copy to its root. Run by the Dockerfiles, in a stage that is thrown away. VENV=/another: not /venv.
# Libraries come without what only their builders read (tests, headers, debug symbols), and with bytecode, since nothing
# writes it under a read-only root. No time of today stays in a file: the same lock gives the same layer.
set -eu
lock=$1 other=${2:-} here=$(dirname "$0") venv=${VENV:-/venv}

apt-get update -q
apt-get install -y -q --no-install-recommends binutils libgomp1
python3 -m venv /opt/uv
/opt/uv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r "$here/uv.txt"
/opt/uv/bin/uv venv --quiet --python "$(command -v python3)" "$venv"
/opt/uv/bin/uv pip install --quiet --no-cache --require-hashes --python "$venv/bin/python" -r "$lock" ${other:+-r "$other"}

cd "$venv"/lib/python3*/site-packages
# Not of every package: evidently.tests is part of what it does.
for package in gevent greenlet matplotlib numba numpy pandas pyarrow scipy sklearn statsmodels zope; do
  [ ! -d $package ] || find $package -type d -name tests -prune -exec rm -r {} +
done
rm -rf jupyterlab_plotly "$venv/share/jupyter" # plotly's pages in notebooks
rm -f pyarrow/*flight*.so* # a protocol of other engines
# botocore describes 400 services of AWS; these are what stores, logins, registries and clusters of a stack ask.
[ ! -d botocore ] || find botocore/data -mindepth 1 -maxdepth 1 -type d \
  | grep -vE '/(s3|sts|sso|sso-oidc|signin|iam|ecr|eks)$' | xargs rm -r
# Of Azure's resource manager only the subscriptions are asked.
rm -rf azure/mgmt/resource/policy/v20* azure/mgmt/resource/resources/v20*
find . -type f -regextype posix-extended -regex '.*\.(map|pxd|pyx|h|hpp|a|ipynb)' -delete
# Not what a wheel brings from elsewhere, in NAME.libs: it was patched, and strip would break it. Others were patched
# too: where the loader refuses what strip made (1; 2 is a library that it takes), the library stays as it was.
loader=$(ldd "$(command -v python3)" | sed -n 's/^\s*\(\/\S*ld-linux\S*\) .*/\1/p')
find . -type f -name '*.so*' -not -path '*.libs/*' | while read -r library; do
  strip --strip-unneeded -o /tmp/stripped "$library"
  taken=0 && "$loader" --verify /tmp/stripped || taken=$?
  [ $taken = 1 ] || cat /tmp/stripped >"$library"
done
# LightGBM asks the system for OpenMP, which a slim one lacks.
[ ! -d lightgbm ] || cp "$(ldconfig -p | sed -n 's/.*libgomp\.so\.1 .* => //p' | head -n 1)" "$venv/lib/"
mkdir /image
mv "$venv" /image/
sh "$here/image-times.sh" /image
