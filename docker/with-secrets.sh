#!/bin/sh
# Run a command with secrets in its environment: with-secrets NAME=secret ... -- COMMAND ...
#
# The variable NAME gets what the file /run/secrets/secret holds. So a secret is in a file that compose mounts, and
# in the environment of the one process that needs it there, but not in the container's settings, which
# `docker inspect` shows. POSIX, for not every image has bash.
set -eu
folder=${SECRETS_FOLDER:-/run/secrets}
while [ "${1:?usage: with-secrets NAME=secret ... -- COMMAND ...}" != "--" ]; do
  file=$folder/${1#*=}
  [ -r "$file" ] || { echo "with-secrets: cannot read $file, which is to become ${1%%=*}" >&2; exit 2; }
  value=$(cat "$file")
  [ -n "$value" ] || { echo "with-secrets: $file is empty; it is to become ${1%%=*}" >&2; exit 2; }
  export "${1%%=*}=$value"
  shift
done
shift
exec "$@"
