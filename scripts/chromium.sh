#!/bin/sh
# Makes sure of a Chromium for tests/browser: installs Debian's if there is none and that is possible, and otherwise
# prints that the browser tests are skipped. Never fails: the tests themselves fail without one in CI.
set -u

if [ -n "${LAUREL_CHROMIUM:-}" ]; then
    command -v "$LAUREL_CHROMIUM" >/dev/null 2>&1 ||
        echo "LAUREL_CHROMIUM names $LAUREL_CHROMIUM, which is no program: the browser tests are skipped."
    exit 0
fi
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing chromium for the browser tests ..."
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core >/dev/null; then
        exit 0
    fi
fi
echo "There is no Chromium, so the browser tests are skipped: install the package chromium, or set LAUREL_CHROMIUM."
