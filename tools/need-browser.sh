#!/bin/sh
# See to it that there is a browser which the tests can drive; tests/conftest.py looks for it in the same order.
# VIGIL_CHROMIUM names one. Ubuntu's chromium is a snap: it may not use the tests' profile directories, so there
# Playwright installs Chrome's own .deb instead (its own Chromium build decodes no H.264).
set -eu

if [ -n "${VIGIL_CHROMIUM:-}" ]; then
    [ -x "$VIGIL_CHROMIUM" ] && exit 0
    echo "set-up: error: VIGIL_CHROMIUM names $VIGIL_CHROMIUM, which cannot be run" >&2
    exit 1
fi
usable() {
    path=$(command -v "$1" 2>/dev/null) || return 1
    case $path in /snap/*) return 1 ;; esac
    case $(readlink -f "$path") in */snap) return 1 ;; esac
}
if usable chromium || usable google-chrome; then
    exit 0
fi
if grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null; then
    echo "set-up: Ubuntu's chromium is a snap, so Playwright installs Chrome"
    exec .venv/bin/playwright install chrome
fi
exec sh tools/need-apt.sh chromium
