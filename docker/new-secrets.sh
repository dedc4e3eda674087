#!/usr/bin/env bash
# Make the secrets that compose.yaml mounts: docker/new-secrets.sh FOLDER. Files that are there stay as they are.
#
# Compose mounts the files as they are, and each container reads them as its own user. So the files may be read by
# all, and the folder by you alone.
set -euo pipefail
folder=${1:?usage: docker/new-secrets.sh FOLDER}
mkdir -p "$folder"
chmod 700 "$folder"
for name in postgres_password mlflow_password mlflow_flask_key ray_token s3_access_key s3_secret_key; do
  if [ ! -s "$folder/$name" ]; then
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name"
  fi
  chmod 444 "$folder/$name"
done
echo "secrets in $(cd "$folder" && pwd); put this into docker/.env:"
echo "DIRSWEEP_SECRETS=$(cd "$folder" && pwd)"
