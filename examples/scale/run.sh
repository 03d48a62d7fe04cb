#!/bin/sh
# Applies the stack in SHARDS shards, with at most PROCESSES processes at the same time. A process that ends before its
# shard is applied, also because it is killed, is started again, at most ATTEMPTS times. Arguments go to `lettaform apply`.
set -u
cd "$(dirname "$0")" || exit 1
export SHARDS="${SHARDS:-16}" ATTEMPTS="${ATTEMPTS:-3}"
seq 0 $((SHARDS - 1)) | xargs -P "${PROCESSES:-4}" -I INDEX sh -c '
  index=$1; shift
  for attempt in $(seq "$ATTEMPTS"); do
    lettaform apply -y --shard "$index/$SHARDS" --wait "${WAIT:-600}" "$@" && exit 0
    echo "Shard $index/$SHARDS: attempt $attempt of $ATTEMPTS ended with exit code $?." >&2
  done
  exit 1
' run INDEX "$@"
