#!/bin/sh
# Back up the originals and records of a server, which may run: backup.sh ORIGINALS DATA TARGET
# DATA is the data folder, which the first line of the log names. See docs/deployment.md.
set -eu
[ $# -eq 3 ] || { echo "usage: $0 ORIGINALS DATA TARGET" >&2; exit 2; }
originals=$1 data=$2 target=$3
umask 077
mkdir -p "$target"

copy() {
  if command -v rsync >/dev/null; then
    rsync --archive --delete "$1/" "$2/"
  else
    rm -rf "$2" && cp -a "$1" "$2"
  fi
}

# The catalog as of one moment, before the files: a file that comes later is recorded after a restore.
snapshot=$target/catalog.sqlite.part
rm -f "$snapshot"
"${PYTHON:-python3}" -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute("VACUUM INTO ?", sys.argv[2:])' \
  "$data/catalog.sqlite" "$snapshot"
copy "$originals" "$target/originals"
copy "$data" "$target/data"
# Copies of open databases are worth nothing.
rm -f "$target"/data/catalog.sqlite* "$target"/originals/.imgserve/catalog.sqlite*
mv "$snapshot" "$target/data/catalog.sqlite"
