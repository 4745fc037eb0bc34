#!/bin/sh
# Print the path of a Python that Vigil can be set up with: CPython 3.11 or newer that really starts.
# PYTHON=… in the environment goes first. Never installs anything.
set -eu

for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 /usr/bin/python3; do
    # A pyenv shim can be on the path and still refuse to run: only a Python that answers counts.
    path=$("$name" -c 'import sys; print(sys.executable) if sys.version_info >= (3, 11) else sys.exit(1)' 2>/dev/null) || continue
    [ -n "$path" ] && { printf '%s\n' "$path"; exit 0; }
done
echo "set-up: error: no Python 3.11 or newer was found" >&2
echo "hint: install python3 (Debian 12, Ubuntu 24.04 or newer), or name one: make setup PYTHON=/path/to/python3.12" >&2
exit 1
