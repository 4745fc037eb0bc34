#!/bin/sh
# Install those of the named Debian packages that are missing; do nothing, and ask nobody, where none is.
#   need-apt.sh PACKAGE… [COMMAND=PACKAGE…]
# NAME=PACKAGE asks for a command of that name instead of the package: it may have come from elsewhere.
set -eu

missing=""
for want in "$@"; do
    case $want in
        *=*) command -v "${want%%=*}" >/dev/null 2>&1 || missing="$missing ${want#*=}" ;;
        *) [ "$(dpkg-query -W -f '${db:Status-Status}' "$want" 2>/dev/null || true)" = installed ] || missing="$missing $want" ;;
    esac
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "set-up: error: these are missing:$missing" >&2
    echo "hint: Vigil's set-up knows Debian and Ubuntu; elsewhere install what is named above by hand" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "set-up: error: these are missing, and neither root nor sudo is at hand:$missing" >&2
        echo "hint: as root: apt-get install$missing" >&2
        exit 1
    }
    as_root="sudo"
fi
echo "set-up: installing from Debian:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086  # the list is meant to fall apart into names
{
    $as_root apt-get update -q &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
} >"$log" 2>&1 </dev/null || {
    tail -n 30 "$log" >&2
    echo "set-up: error: apt-get could not install:$missing" >&2
    exit 1
}
