#!/bin/sh
# Makes the passwords and keys of the installation, once: sh docker/secrets.sh
#
# They are files in docker/secrets, which nobody else on this machine can enter. The files themselves
# can be read, as each container reads its own as another user.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets

# random BYTES: so many, in hexadecimal.
random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

# keep NAME TEXT: write a secret unless it is there.
keep() {
    [ -e "secrets/$1" ] || printf '%s' "$2" >"secrets/$1"
    chmod 644 "secrets/$1"
}

for name in postgres_password studies_password redis_password admin_password; do
    keep "$name" "$(random 16)"
done
for name in api_secret_key jwt_secret; do
    keep "$name" "$(random 32)"
done
keep fernet_key "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n')"
keep connections.yaml "hpo_default:
  conn_type: hpo
  extra_dejson:
    url: postgresql://studies:$(cat secrets/studies_password)@postgres/studies
"
echo "The secrets are in $(pwd)/secrets; the password of Airflow's user admin is in admin_password."
