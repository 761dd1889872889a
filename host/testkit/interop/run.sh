#!/usr/bin/env bash
# Runs real clients against a running name server and broker, and says what does not work.
#
#   run.sh --namesrv HOST:PORT [--quick|--full] [--only java|go|rust] [--case NAME]
#
# --case NAME takes the case from every language that has it. See README.md.
set -uo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$HERE/lib.sh"

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }

NAMESRV=""
MODE=full
LANGUAGES=(java go rust)
CASE=""
while [ $# -gt 0 ]; do
  case "$1" in
    --namesrv | --only | --case) [ $# -ge 2 ] || usage ;;
  esac
  case "$1" in
    --namesrv) NAMESRV="$2"; shift 2 ;;
    --quick) MODE=quick; shift ;;
    --full) MODE=full; shift ;;
    --only)
      case "$2" in java | go | rust) LANGUAGES=("$2") ;; *) usage ;; esac
      shift 2
      ;;
    --case) CASE="$2"; shift 2 ;;
    *) usage ;;
  esac
done
[ -n "$NAMESRV" ] || usage

# Topics and groups of this run start with it: lower case letters and digits, shorter than the names' limit by far.
RUN="it$(date +%s | tail -c 7)$$"

# More than any full run of one language takes; only a hanging client meets it.
LIMIT_SECONDS=900

# ---- build: one function a language, output only on failure --------------------------------------------------------

build_java() {
  need_java || return 1
  mvn -q -B -f "$HERE/java/pom.xml" -Dbuild.root="$CACHE/java/target" prepare-package
}

build_go() {
  need_tool go golang-go || return 1
  (cd "$HERE/go" && go build -o "$CACHE/go/interop" .)
}

build_rust() {
  need_tool cargo cargo || return 1
  (cd "$HERE/rust" && CARGO_TARGET_DIR="$CACHE/rust/target" cargo build --quiet --locked)
}

# ---- run: the clients keep their logs and local offsets under a home of their own -----------------------------------

run_java() {
  java -Xmx1g -Duser.home="$CACHE/java/home" \
    -cp "$CACHE/java/target/classes:$(cat "$CACHE/java/target/classpath")" gantry.interop.Main "$@"
}

run_go() { HOME="$CACHE/go/home" "$CACHE/go/interop" "$@"; }

run_rust() { HOME="$CACHE/rust/home" "$CACHE/rust/target/debug/interop" "$@"; }

export -f run_java run_go run_rust
export CACHE

# Not a pipe into grep -q: that would end the writer with an error as soon as the name is found.
has_case() { grep -qxF -- "$CASE" <<<"$("run_$1" --case list 2>/dev/null)"; }

# ---- the suite --------------------------------------------------------------------------------------------------------

RESULTS="$(mktemp)"
trap 'rm -f "$RESULTS"' EXIT

result() { printf '%s\n' "$*" | tee -a "$RESULTS"; }

# Without a name server every case would run into its own deadline.
first="${NAMESRV%%;*}"
if ! (exec 3<>"/dev/tcp/${first%:*}/${first##*:}") 2>/dev/null; then
  result "FAIL suite/name-server nothing listens at $first"
  LANGUAGES=()
fi

for language in "${LANGUAGES[@]}"; do
  rm -rf "$CACHE/$language/home"
  mkdir -p "$CACHE/$language/home"
  log="$CACHE/$language/build.log"
  say "building the $language client"
  if ! "build_$language" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    result "FAIL $language/build see the end of $log above"
    continue
  fi
  arguments=(--namesrv "$NAMESRV" --run "$RUN" --mode "$MODE")
  if [ -n "$CASE" ]; then
    has_case "$language" || continue
    arguments+=(--case "$CASE")
  fi
  timeout "$LIMIT_SECONDS" bash -c '"$@"' run "run_$language" "${arguments[@]}" 2>"$CACHE/$language/stderr.log" |
    tee -a "$RESULTS"
  code=${PIPESTATUS[0]}
  # A program that ends with an error has said which case failed, unless it crashed or hung.
  if [ "$code" -ne 0 ] && ! grep -q "^FAIL $language/" "$RESULTS"; then
    tail -n 20 "$CACHE/$language/stderr.log" >&2
    result "FAIL $language/program exited with code $code"
  fi
done

passed=$(grep -c '^ok  ' "$RESULTS")
failed=$(grep -c '^FAIL ' "$RESULTS")
if [ "$((passed + failed))" -eq 0 ]; then
  result "FAIL suite/selection no case was run${CASE:+: there is no case $CASE}"
  failed=1
fi
echo "interop: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
