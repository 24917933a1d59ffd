# What tools/run, tools/test and tools/deps share. Sourced by bash, after `set -euo pipefail`.
# Stages run in order, each with a heading, its time and one line in the summary at the end.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build_root=${SLIPWAY_BUILD_ROOT:-$root/build}
jobs=$(nproc)

# What one clone compiled, another finds in the cache: paths are hashed relative to the tree, and precompiled headers by
# their content.
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$root} CCACHE_NOHASHDIR=${CCACHE_NOHASHDIR:-1}
export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros,include_file_mtime,include_file_ctime}

summary=()      # "NAME|ok, failed or skipped|seconds|remark"
tests_run=0     # over all runs of CTest
tests_failed=0

# stage NAME TITLE COMMAND...: runs the command (a function of this shell, in a subshell), unless --only asks for others.
# The command says why it cannot run with `skip REASON`.
stage() {
  local name=$1 title=$2 start=$SECONDS rc=0 remark=''
  shift 2
  wanted "$name" || return 0
  printf '\n===== %s: %s =====\n' "$name" "$title"
  mkdir -p "$build_root"
  stage_notes=$build_root/.stage-notes
  : >"$stage_notes"
  # Not in an `if` or `||`: there the shell would ignore set -e within.
  set +e
  (set -e; "$@")
  rc=$?
  set -e
  local spent=$((SECONDS - start)) kind value
  while IFS='|' read -r kind value; do
    case $kind in
      skip) remark+="${remark:+; }$value" ;;
      tests) tests_run=$((tests_run + ${value%% *})); tests_failed=$((tests_failed + ${value##* })) ;;
      note) remark+="${remark:+; }$value" ;;
    esac
  done <"$stage_notes"
  local state=ok
  if [ $rc -ne 0 ]; then state=FAILED; elif grep -q '^skip|' "$stage_notes"; then state=skipped; fi
  rm -f "$stage_notes"
  summary+=("$name|$state|$spent|$remark")
  printf -- '----- %s: %s, %d s %s\n' "$name" "$state" "$spent" "$remark"
}

# Says in the summary why a stage, or a part of it, did not run.
skip() { printf 'skip|%s\n' "$*" >>"$stage_notes"; printf 'skipped: %s\n' "$*"; }
note() { printf 'note|%s\n' "$*" >>"$stage_notes"; }

# Prints the summary and CTest's own kind of last line; gives non-zero when a stage failed.
finish() {
  local line name state spent remark failed=0 percent=100
  printf '\n===== summary =====\n'
  for line in "${summary[@]}"; do
    IFS='|' read -r name state spent remark <<<"$line"
    printf '%-10s %-8s %5d s  %s\n' "$name" "$state" "$spent" "$remark"
    [ "$state" != FAILED ] || failed=$((failed + 1))
  done
  printf 'total %d s\n' "$SECONDS"
  if [ $tests_run -gt 0 ]; then
    percent=$(((tests_run - tests_failed) * 100 / tests_run))
    printf '\n%d%% tests passed, %d tests failed out of %d\n' "$percent" "$tests_failed" "$tests_run"
  fi
  [ $failed -eq 0 ] || printf '%d stage(s) FAILED, see above\n' "$failed"
  [ $failed -eq 0 ] && [ $tests_failed -eq 0 ]
}

# configure NAME OPTIONS...: the build folder of that name.
configure() {
  local name=$1
  shift
  mkdir -p "$build_root"
  cmake -S "$root" -B "$build_root/$name" -G Ninja "$@" >"$build_root/$name.configure.log" 2>&1 || {
    cat "$build_root/$name.configure.log"
    return 1
  }
}

# build NAME TARGETS...: quiet while it goes well.
build() {
  local name=$1
  shift
  ninja -C "$build_root/$name" -j "$jobs" --quiet "$@"
}

# run_tests NAME CTEST_OPTIONS...: counts them for the last line.
run_tests() {
  local name=$1 log=$build_root/$1.ctest.log rc=0 line
  shift
  ctest --test-dir "$build_root/$name" --output-on-failure --no-tests=error -j "$jobs" "$@" 2>&1 | tee "$log" || rc=$?
  line=$(grep -E '^[0-9]+% tests passed' "$log" | tail -1) || true
  if [[ $line =~ ([0-9]+)\ tests\ failed\ out\ of\ ([0-9]+) ]]; then
    printf 'tests|%d %d\n' "${BASH_REMATCH[2]}" "${BASH_REMATCH[1]}" >>"$stage_notes"
    note "${BASH_REMATCH[2]} tests, ${BASH_REMATCH[1]} failed"
  fi
  # Skipped tests say why in their output; here at least which.
  sed -n '/^The following tests did not run:/,$p' "$log" | grep -E '\(Skipped\)' |
    sed 's/^[[:space:]]*/did not run: /' || true
  return $rc
}
