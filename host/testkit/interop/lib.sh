# Shared by run.sh and oracle.sh: where artefacts go, and how missing tools arrive on a bare Debian.
# shellcheck shell=bash

CACHE="${GANTRY_INTEROP_CACHE:-$HOME/.cache/gantry-interop}"

say() { printf '%s\n' "$*" >&2; }

# need_tool COMMAND DEBIAN_PACKAGE...: installs the packages when the command is missing.
need_tool() {
  local command="$1"
  shift
  command -v "$command" >/dev/null 2>&1 && return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    say "$command is missing: install $* (on Debian: apt-get install $*)"
    return 1
  fi
  say "installing $*"
  apt-get update -qq >&2 &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

need_java() { need_tool javac openjdk-17-jdk-headless && need_tool mvn maven; }
