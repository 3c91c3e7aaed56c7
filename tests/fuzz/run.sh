#!/usr/bin/env bash
# Fuzzes with clang's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer; what it builds and finds lies in build/fuzz.
#
#   tests/fuzz/run.sh TARGET|all [libFuzzer's flags]     such as -runs=5000000 or -max_total_time=1200
#   tests/fuzz/run.sh smoke                              every target for seven seconds: a minute in all
#
# A target is a file NAME_fuzz.cpp. An input that ends the program is kept as build/fuzz/found/TARGET/crash-...: mend
# the cause and copy it to tests/fuzz/found/TARGET, where every run of the tests plays it again.
set -euo pipefail
cd "$(dirname "$0")/../.."
all=$(cd tests/fuzz && ls -- *_fuzz.cpp | sed 's/_fuzz.cpp//')
case ${1:-} in
  '' | -*) sed -n '2,/^set/{/^# \?/s/^# \?//p}' "$0"; exit 2 ;;
  smoke) targets=$all; set -- smoke -max_total_time=7 ;;
  all) targets=$all ;;
  *) targets=$1 ;;
esac
shift
for target in $targets; do
  [ -f "tests/fuzz/${target}_fuzz.cpp" ] || { echo "run.sh: there is no target $target; there are: " $all >&2; exit 2; }
done

programs=$(for target in $targets; do echo "replay_$target fuzz_$target"; done)
cmake -B build/fuzz -G Ninja -D CMAKE_CXX_COMPILER="${CXX:-clang++}" -D REEL_FUZZ=ON >/dev/null
cmake --build build/fuzz -j "${REEL_JOBS:-$(nproc)}" --target $programs
for target in $targets; do
  seeds=tests/fuzz/seeds/$target.tsv
  [ -f "$seeds" ] || seeds=tests/corpus/$target.tsv
  [ -f "$seeds" ] || seeds=tests/corpus/csv.tsv  # a text may be anything
  mkdir -p "build/fuzz/corpus/$target" "build/fuzz/found/$target"
  build/fuzz/tests/fuzz/replay_"$target" --write "$seeds" "build/fuzz/corpus/$target" >/dev/null
  dictionary=tests/fuzz/dictionaries/$target.dict
  echo "== $target"
  TIMEFORMAT="$target: %U s of processor time"
  time build/fuzz/tests/fuzz/fuzz_"$target" -artifact_prefix="build/fuzz/found/$target/" -print_final_stats=1 -verbosity=0 \
    $([ -f "$dictionary" ] && echo "-dict=$dictionary") "$@" "build/fuzz/corpus/$target" 2>&1 | grep -vE '^(INFO|Dictionary)'
done
