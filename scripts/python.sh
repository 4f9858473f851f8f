#!/usr/bin/env bash
# Prints the first Python that can make this project's environment: 3.11 or later, with venv.
# Looks at $PYTHON alone if it is set, else at python3 and then at the versioned names.
set -euo pipefail

candidates=(python3 python3.13 python3.12 python3.11)
[[ -n ${PYTHON:-} ]] && candidates=("$PYTHON")

seen=()
for candidate in "${candidates[@]}"; do
  # Run it: a name on PATH may be a version manager's stub that starts nothing.
  version=$("$candidate" -c 'import platform; print(platform.python_version())' 2>/dev/null) || continue
  if ! "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    seen+=("\`$candidate\` is $version")
  elif ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
    seen+=("\`$candidate\` is $version without venv (on Debian: apt-get install python3-venv)")
  else
    echo "$candidate"
    exit 0
  fi
done

{
  echo "error: no Python 3.11 or later with venv; looked at: ${candidates[*]}"
  for found in "${seen[@]}"; do echo "  $found"; done
  echo "  name one yourself: make PYTHON=/path/to/python3.11 ..."
} >&2
exit 1
