#!/bin/sh
# Run all tests in two pytests at once: most of what the second waits for is time, and the first only needs a core.
#   run-tests.sh PYTHON
# Exits 0 where both do. The first one's output is printed when both have ended.
set -u

python=$1
calm="tests/sealed/test_prove.py tests/evidence tests/core tests/project tests/control
    tests/audit/test_report.py tests/audit/test_report_pdf.py tests/audit/test_diff.py"
others=""
for path in $calm; do
    others="$others --ignore=$path"
done

said=$(mktemp)
# shellcheck disable=SC2086  (lists of words)
"$python" -m pytest -p no:cacheprovider $calm >"$said" 2>&1 &
first=$!
trap 'kill "$first" 2>/dev/null; rm -f "$said"' EXIT
trap 'exit 130' INT TERM HUP
# shellcheck disable=SC2086
"$python" -m pytest $others
second_code=$?
wait "$first"
first_code=$?
cat "$said"
[ "$first_code" -eq 0 ] && [ "$second_code" -eq 0 ]
