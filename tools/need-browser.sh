#!/bin/sh
# See to it that there are browsers which the tests can drive; tests/conftest.py looks for Chromium in the same order.
# VIGIL_CHROMIUM names one. Ubuntu's chromium and firefox are snaps: they may not use the tests' profile directories. So
# there Playwright installs Chrome's own .deb (its own Chromium build decodes no H.264), and Firefox's tests are skipped.
set -eu

on_ubuntu() { grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null; }
usable() {
    path=$(command -v "$1" 2>/dev/null) || return 1
    case $path in /snap/*) return 1 ;; esac
    case $(readlink -f "$path") in */snap) return 1 ;; esac
}

wanted=""
if [ -n "${VIGIL_CHROMIUM:-}" ]; then
    [ -x "$VIGIL_CHROMIUM" ] || {
        echo "set-up: error: VIGIL_CHROMIUM names $VIGIL_CHROMIUM, which cannot be run" >&2
        exit 1
    }
elif ! usable chromium && ! usable google-chrome; then
    if on_ubuntu; then
        echo "set-up: Ubuntu's chromium is a snap, so Playwright installs Chrome"
        .venv/bin/playwright install chrome
    else
        wanted="chromium"
    fi
fi
if ! on_ubuntu; then
    wanted="$wanted firefox=firefox-esr"
fi
# shellcheck disable=SC2086  # the list is meant to fall apart into names
exec sh tools/need-apt.sh $wanted
