#!/usr/bin/env bash
# Runs the tests of adapters, each host's in its own environment, as many hosts at once as there are
# cores, and prints the matrix of what they showed.
#
# Usage: scripts/test-adapters.sh ENVIRONMENTS "HOST..." [PYTEST OPTION...]
set -euo pipefail
cd "$(dirname "$0")/.."

environments=$1 hosts=$2
shift 2
notes=$environments/notes
rm -rf "$notes"
mkdir -p "$notes"

test_host() { # test_host NAME PYTEST_OPTION... : its output in one piece
  local name=$1 python=$environments/$1/bin/python failed=0
  shift
  {
    echo "== $name"
    "$python" -m mypy --cache-dir "$environments/$name/.mypy_cache" "tests/adapters/$name" || failed=1
    ADAPTER_HOST=$name ADAPTER_NOTES=$notes/$name.jsonl \
      "$python" -m pytest "tests/adapters/$name" "$@" || failed=1
  } >"$notes/$name.log" 2>&1
  cat "$notes/$name.log"
  return "$failed"
}
export -f test_host
export environments notes

failed=0
# shellcheck disable=SC2086 # the hosts are words
printf '%s\n' $hosts | xargs -P "$(nproc)" -I{} bash -c 'test_host "$@"' _ {} "$@" || failed=1
"$environments/${hosts%% *}/bin/python" -m tests.adapters.matrix "$notes" $hosts || failed=1
exit "$failed"
