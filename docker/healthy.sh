#!/bin/sh
# Whether a server answers: healthy URL. Status 0 for a 2xx; for health checks of images that have no curl.
set -eu
exec python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' "${1:?usage: healthy URL}"
