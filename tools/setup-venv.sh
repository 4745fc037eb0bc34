#!/bin/sh
# Build .venv from a lock, with Vigil itself in editable form.
#   setup-venv.sh LOCK
# Every package is checked against the lock's hashes; nothing is taken by name alone.
set -eu

lock=$1
if ! [ -x .venv/bin/python ] || ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$(sh tools/find-python.sh)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # Debian and Ubuntu ship Python without these; they are in a package of the same version.
        sh tools/need-apt.sh "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    echo "set-up: making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi
echo "set-up: installing what $lock names, each checked by its hash"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
