#!/usr/bin/env bash
# Puts an OPA binary at DEST: the reference that policies and decisions are checked against.
#
# Usage: scripts/opa.sh [DEST]        (DEST: .tools/opa)
#
# The first of these that gives one:
#   1. $OPA, or `opa` on PATH, from version 1.17 on: copied
#   2. Go: OPA's module at the pinned version, by `go install`, else from a throw-away module
#   3. OPA's release for Linux, when its SHA-256 is known: pinned below, or given in $OPA_SHA256
#   4. no Go: the Go toolchain of requirements/go.txt (a wheel, pinned by hash), then as 2
set -euo pipefail
cd "$(dirname "$0")/.."

pinned=1.20.0
minimum=1.17.0
module=github.com/open-policy-agent/opa

# SHA-256 of the static release binaries of the pinned version, from OPA's release page.
# None is recorded yet: whoever adds one compares it with that page first. Without it
# route 3 refuses, since an unchecked binary is worse than none.
declare -A release_sha256=([linux_amd64]="" [linux_arm64]="")

dest=${1:-.tools/opa}
mkdir -p "$(dirname "$dest")"
dest=$(cd "$(dirname "$dest")" && pwd)/$(basename "$dest")
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT # Go writes its files read-only

say() { echo "opa: $*" >&2; }

version_of() { # the version that the binary $1 reports, or nothing
  "$1" version 2>/dev/null | sed -n 's/^Version: *v\{0,1\}//p' || true
}

at_least() { # is the version $1 at least $2, and of the same major version?
  [[ ${1%%.*} == "${2%%.*}" && $(printf '%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

accept() { # accept BINARY ORIGIN: put BINARY at DEST if its version will do
  local version
  version=$(version_of "$1")
  if ! at_least "${version:-0}" "$minimum"; then
    say "$2 is version \`${version:-unknown}\`; at least $minimum is needed"
    return 1
  fi
  [[ $version == "$pinned" ]] || say "$2 is $version, the pinned one is $pinned: taken, it will do"
  # A rename, so that nobody ever starts half a file.
  install -m 0755 "$1" "$dest.new"
  mv -f "$dest.new" "$dest"
  say "$dest is $version, from $2"
}

from_machine() {
  if [[ -n ${OPA:-} && $OPA != "$dest" ]]; then
    [[ -x $OPA ]] || { say "\$OPA is \`$OPA\`, which is no program"; exit 1; }
    accept "$OPA" "\$OPA (\`$OPA\`)" || exit 1 # it was named: taking another would surprise
    return
  fi
  local found
  found=$(type -P opa) || return 1
  [[ ! $found -ef $dest ]] && accept "$found" "PATH (\`$found\`)"
}

build_with() { # build_with GO: build OPA's module with the Go command $1
  local go=$1 built=$work/bin/opa log=$work/go.log
  say "building $module $pinned with $("$go" version | cut -d' ' -f3) (some minutes the first time)"
  # No cgo: no C compiler needed, and the binary is static. GOTOOLCHAIN: an older Go fetches
  # the one that OPA asks for, as a module.
  export CGO_ENABLED=0 GOTOOLCHAIN=${GOTOOLCHAIN:-auto} GOFLAGS=-buildvcs=false
  if ! GOBIN=$work/bin "$go" install "$module@v$pinned" >"$log" 2>&1; then
    say "\`go install\` refused ($(tail -n 1 "$log")); trying from a module that requires it"
    if ! (
      mkdir "$work/module" && cd "$work/module"
      printf 'package main\n\nimport _ "%s/cmd"\n\nfunc main() {}\n' "$module" >main.go
      "$go" mod init build.invalid/opa && "$go" get "$module@v$pinned" && "$go" mod tidy &&
        "$go" build -o "$built" "$module"
    ) >"$log" 2>&1; then
      say "building failed: $(tail -n 3 "$log")"
      return 1
    fi
  fi
  accept "$built" "Go"
}

from_go() {
  local go
  go=$(type -P go) || return 1
  build_with "$go"
}

from_release() {
  local platform
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux_amd64 ;;
    Linux-aarch64) platform=linux_arm64 ;;
    *) return 1 ;;
  esac
  local asset=opa_${platform}_static
  local expected=${OPA_SHA256:-${release_sha256[$platform]}}
  if [[ -z $expected ]]; then
    say "the release is not used: no SHA-256 of \`$asset\` $pinned is pinned (give it as OPA_SHA256)"
    return 1
  fi
  local url=https://$module/releases/download/v$pinned/$asset got python
  python=$(scripts/python.sh)
  say "fetching $url"
  "$python" - "$url" "$work/release" <<'PY' || { say "it could not be fetched"; return 1; }
import shutil
import sys
import urllib.request

try:
    with urllib.request.urlopen(sys.argv[1], timeout=60) as answer, open(sys.argv[2], "wb") as out:
        shutil.copyfileobj(answer, out)
except OSError as error:
    sys.exit(f"opa: {error}")
PY
  got=$(sha256sum "$work/release" | cut -d' ' -f1)
  if [[ $got != "${expected,,}" ]]; then
    say "refused: \`$asset\` has SHA-256 $got, expected $expected"
    return 1
  fi
  chmod +x "$work/release"
  accept "$work/release" "OPA's release"
}

from_go_wheel() {
  local python
  python=$(scripts/python.sh)
  say "no usable Go here; installing the pinned toolchain for this build"
  "$python" -m venv "$work/go"
  "$work/go/bin/pip" --disable-pip-version-check install --quiet --require-hashes --no-deps \
    --only-binary :all: --requirement requirements/go.txt || return 1
  build_with "$work/go/bin/go"
}

if [[ -x $dest ]] && at_least "$(version_of "$dest")" "$minimum"; then
  say "$dest is $(version_of "$dest")"
  exit 0
fi
from_machine || from_go || from_release || from_go_wheel || {
  say "no OPA to be had; install version $pinned, or name one: make opa OPA=/path/to/opa"
  exit 1
}
