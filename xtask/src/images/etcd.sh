#!/bin/sh
# Becomes the server. The command is its flags; the name of the program may stand before them, as for the official image.
set -eu
if [ "${1:-}" = etcd ]; then shift; fi
exec /usr/bin/etcd "$@"
