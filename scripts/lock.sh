#!/usr/bin/env bash
# Writes requirements/*.txt anew: every dependency pinned, each by the hashes of
# all its published files, for every platform and Python that pyproject.toml allows.
#
# Usage: scripts/lock.sh PYTHON [RESOLVER OPTION...]
#   e.g. scripts/lock.sh python3 --upgrade-package ruff
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:?usage: scripts/lock.sh PYTHON [RESOLVER OPTION...]}
shift
# uv because it resolves once for all platforms, where pip-compile knows only its own
uv_version=0.13.9

env=.tools/lock
if [[ ! -x $env/bin/uv ]] || [[ $("$env/bin/uv" --version) != "uv $uv_version"* ]]; then
  "$python" -m venv --clear "$env"
  "$env/bin/pip" install --quiet "uv==$uv_version"
fi

# One machine's mirrors and wheel folders must not leak into a file that all share.
export UV_CUSTOM_COMPILE_COMMAND='make lock' # what the files say wrote them
unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL UV_FIND_LINKS

lock() { # lock NAME SOURCE_OR_OPTION... : requirements/NAME.in and SOURCEs -> requirements/NAME.txt
  local name=$1
  shift
  echo "lock: requirements/$name.txt"
  "$env/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --output-file "requirements/$name.txt" \
    "${options[@]}" "requirements/$name.in" "$@"
}

options=("$@")
lock dev pyproject.toml --extra cli --extra approvals --extra audit --extra jwt --extra jsonschema --extra graphql \
  --extra prices --extra server
# what two of them hold, they hold in one version
lock agentdojo pyproject.toml --extra cli --extra agentdojo --constraint requirements/dev.txt
lock bench pyproject.toml --constraint requirements/dev.txt
lock outside
lock peers
for source in requirements/adapters/*.in; do
  name=$(basename "$source" .in)
  if [[ -e requirements/adapters/$name.override ]]; then # no extra: its pins exclude the package's
    lock "adapters/$name" pyproject.toml --extra cli --extra jsonschema \
      --override "requirements/adapters/$name.override"
    continue
  fi
  lock "adapters/$name" pyproject.toml --extra cli --extra jsonschema --extra "$name"
done
lock peers
lock pip
lock go
