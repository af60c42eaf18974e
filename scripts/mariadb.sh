#!/bin/sh
# Makes sure of a MariaDB for the tests of the platform's database: installs Debian's server program if there is none and
# that is possible (it is not started), and otherwise prints that these tests are skipped. Never fails: the tests
# themselves fail without one in CI.
set -u

PATH="$PATH:/usr/sbin:/usr/local/sbin"
if command -v mariadbd >/dev/null 2>&1 && command -v mariadb-install-db >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing mariadb-server-core for the tests of the platform's database ..."
    export DEBIAN_FRONTEND=noninteractive
    # mariadb-install-db needs a program of mariadb-client-core.
    if apt-get update -qq &&
        apt-get install -qq -y --no-install-recommends mariadb-server-core mariadb-client-core >/dev/null; then
        exit 0
    fi
fi
echo "There is no MariaDB, so its tests are skipped: install the packages mariadb-server-core and mariadb-client-core."
