#!/bin/sh
# Makes ./configure out of configure.ac. Needs autoconf, automake, libtool and pkg-config.
set -e
cd "$(dirname "$0")"
mkdir -p m4
exec autoreconf --force --install --verbose --warnings=all,no-obsolete
