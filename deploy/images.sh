#!/usr/bin/env bash
# Writes the images of others into .env, each with the digest that its tag has now. Run it again to take newer ones.
set -euo pipefail
cd "$(dirname "$0")"
test -f .env || { echo "no .env: copy .env.example first" >&2; exit 1; }

pin() { # VARIABLE IMAGE
    local digest
    digest=$(docker buildx imagetools inspect "$2" --format '{{.Manifest.Digest}}')
    [[ $digest == sha256:* ]] || { echo "$2 has no digest: $digest" >&2; exit 1; }
    sed -i "/^$1=/d" .env
    echo "$1=$2@$digest" | tee -a .env
}

pin PYTHON_IMAGE docker.io/library/python:3.11-slim-bookworm
pin POSTGRES_IMAGE docker.io/library/postgres:16
pin S3_IMAGE quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z
