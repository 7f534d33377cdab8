#!/bin/sh
# image-times.sh FOLDER: compile what is in it, and give every file one time, so that the same files are the same layer
# of an image that copies what is in FOLDER to its root (a folder that is there already would get the time of today).
set -eu
export PYTHONHASHSEED=0
seldom="celery|databricks|dulwich|faker|fontTools|gevent|litestar|networkx|nltk|plotly|pygments|setuptools|statsmodels|wcwidth"
find "$1" -name __pycache__ -prune -exec rm -r {} +
# Without checks of a source's time, and not of what our programs load seldom or little of: that is a tenth of an image.
# Templates of code among the libraries are no Python: they stay as they are.
python3 -m compileall -q -q -j 0 --invalidation-mode unchecked-hash \
  -x "/($seldom|scipy/(signal|spatial|io|ndimage|interpolate))/" -s "$1" -p / "$1" || true
find "$1" -exec touch --no-dereference --date=@0 {} +
