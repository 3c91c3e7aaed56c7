#!/usr/bin/env bash
# Runs one tool over the tests; what it builds lies in build/TOOL.
#
#   tests/tools/check.sh asan       AddressSanitizer and UndefinedBehaviorSanitizer, g++
#   tests/tools/check.sh tsan       ThreadSanitizer, clang++: everything that starts threads
#   tests/tools/check.sh valgrind   memcheck: the readers, the checkpoints, the engine
#   tests/tools/check.sh coverage   lines that the tests run, layer by layer; fails below 95 %
#   tests/tools/check.sh clang      a Release build with clang++ and all its tests
#   tests/tools/check.sh all        the first four, one after the other
#
# `asan quick` runs the kernels and the readers only, `tsan quick` the kernels only; other arguments of asan and
# clang go to ctest (-R Npy). REEL_JOBS says how many jobs run at once.
set -euo pipefail
cd "$(dirname "$0")/../.."
self=tests/tools/check.sh
tool=${1:-}
jobs=${REEL_JOBS:-$(nproc)}
shift || true
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Builds the targets; what went wrong is shown in full.
build() {
  cmake --preset "$tool" >"$scratch/configure.log" 2>&1 || { cat "$scratch/configure.log"; exit 1; }
  cmake --build "build/$tool" -j "$jobs" --target "$@" >"build/$tool/build.log" 2>&1 ||
    { grep -vE '^\[[0-9]+/[0-9]+\] Building' "build/$tool/build.log"; exit 1; }
}
tests() { ctest --test-dir "build/$tool" --output-on-failure -j "$jobs" --no-tests=error "$@"; }
# Runs a test program in one go: under a tool a process for each test would mostly start.
TIMEFORMAT='%U s of processor time'
run() { time "build/$tool/tests/$1" --gtest_brief=1 --gtest_filter="${2:-*}"; }
memcheck() {
  # The sleeping helpers of the thread pool are only "possibly lost".
  time valgrind --quiet --error-exitcode=1 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
    "build/$tool/tests/$1" --gtest_brief=1 --gtest_filter="$2"
}
# Lines of each layer, headers included, that any of the test programs run; fails below 95 %. build/coverage/LAYER.txt
# lists the others.
coverage_of() {
  local failed=0
  for layer in "$@"; do
    gcovr --root . --object-directory "build/$tool" --filter "$layer/" --exclude-throw-branches \
      --print-summary --fail-under-line 95 --output "build/$tool/$layer.txt" | grep '^lines' | sed "s/^/$layer /" || failed=1
  done
  return $failed
}

case $tool in
  asan)
    export UBSAN_OPTIONS=print_stacktrace=1
    if [ "${1:-}" = quick ]; then
      build test_kernels test_data planted
      tests -R '^planted'
      for layer in kernels data; do run "test_$layer"; done
    elif [ $# -gt 0 ]; then
      build all
      tests "$@"
    else
      build all
      tests -E '^(kernels|data|autograd|nn)\.'
      for layer in kernels data autograd nn; do run "test_$layer"; done
    fi
    ;;
  tsan)
    export TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1:history_size=7
    build test_kernels planted
    tests -R '^planted'
    run test_kernels '-*FloatMath*:DoubleMath*'
    [ "${1:-}" = quick ] && exit
    build test_autograd test_nn reel_program
    "build/$tool/examples/reel" train classifier --epochs 2 --threads 4 --progress none --out "$scratch/classifier"
    "build/$tool/examples/reel" train --steps 6 --threads 4 --progress none --out "$scratch/transformer"
    run test_autograd '*Threads*:Memory*:Misuse*:Tape*:Products*:Attention*'
    run test_nn 'TrainingLoop*:Gpt.*:Optimizer*:Checkpoint.*'
    ;;
  valgrind)
    build test_kernels test_data test_autograd test_nn planted
    tests -R '^planted'
    # Where it has no memory left, valgrind ends a program that could go on.
    memcheck test_data '-FileDeathTest*:Npz.does_not_blame*'  # which takes memory away itself
    memcheck test_kernels 'Map*:Strided*:Matmul.TouchesNothing*:Matmul.AnEmpty*:OptimizerKernels.Touch*'
    memcheck test_autograd 'Registry/EveryCard.Reads*:Registry/EveryGradient.DoublesOnASecondBackward*:Misuse*:Tape*'
    memcheck test_nn 'Checkpoint.*:AtomicFile*:DirectoryLock*:Safetensors*:*Corpus*:Optimizer*'
    ;;
  coverage)
    build test_kernels test_data test_autograd test_nn
    find "build/$tool" -name '*.gcda' -delete
    for layer in kernels data autograd nn; do run "test_$layer"; done
    coverage_of kernels autograd nn data
    ;;
  clang)
    build all
    tests "$@"
    ;;
  all)
    for each in asan tsan valgrind coverage; do
      echo "== $each"
      "$self" "$each"
    done
    ;;
  *)
    sed -n '2,/^set/{/^# \?/s/^# \?//p}' "$self"
    exit 2
    ;;
esac
