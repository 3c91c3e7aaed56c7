#!/usr/bin/env bash
# The script `reel` in a checkout whose program is a file that is copied, so that building it takes no time.
set -euo pipefail
reel=$(cd "$(dirname "$0")/.." && pwd)/reel
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset REEL_BUILD_DIR
fail() { printf 'front_door: %s\n' "$*" >&2; cat said >&2; exit 1; }
# `reel ARGUMENTS` in a checkout prints this; what it says beside it is in the file `said`.
prints() {
  local want=$1 checkout=$2 got
  got=$("$checkout/reel" "${@:3}" 2>said) || fail "$checkout: exit code $?"
  [ "$got" = "$want" ] || fail "$checkout: printed '$got', not '$want'"
}

chmod 755 "$scratch"  # for another user, below
cd "$scratch"
: >said
# Nothing is installed for this.
mkdir bin
printf '#!/bin/sh\nprintf installed\n' >bin/dpkg-query
chmod +x bin/dpkg-query
export PATH=$PWD/bin:$PATH
mkdir -p main/{autograd,data,examples,kernels,nn}
cp "$reel" main/reel
cat >main/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.20)
project(fake NONE)
enable_testing()
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/examples)
add_custom_command(OUTPUT examples/reel DEPENDS ${CMAKE_SOURCE_DIR}/examples/program
  COMMAND ${CMAKE_COMMAND} -E sleep 1
  COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/examples/program examples/reel)
add_custom_target(reel_program ALL DEPENDS examples/reel)
CMAKE
program() { printf '#!/bin/sh\necho %s\n' "$2" >"$1/examples/program"; chmod +x "$1/examples/program"; }
program main first

# Two first commands at once: one builds, the other waits.
(cd main && ./reel >../other 2>../other.said) &
prints first main
wait $! || { cat other.said >&2; fail "the other of two first commands: exit code $?"; }
[ "$(<other)" = first ] || fail "the other of two first commands printed $(<other)"
cat said other.said | grep -q 'waiting for another build' || fail "neither of two first commands waited"
[ "$(cat said other.said | grep -c configuring)" = 1 ] || fail "both of two first commands configured"

# Nothing to do, and the log is that of the build.
prints first main
grep -q 'Generating examples/reel' main/build/build.log || fail "the log of the build is gone"

! main/reel test -R nothing >said 2>&1 || fail "no tests, and all is well"

# A copy builds its own sources, and the original is left alone.
cp -a main copy
program copy second
prints second copy
prints first main
! grep -q configuring said || fail "the original was configured again"
# By another name it is the same checkout.
ln -s main link
prints first link
! grep -q configuring said || fail "a link to a checkout was configured again"
mv copy moved
program moved third
prints third moved
[ ! -e copy ] || fail "a checkout that was moved came back"

# Another user runs what is there.
chmod -R a+rX .
if [ "$(id -u)" -ne 0 ]; then
  chmod a-w main/build
  prints first main
  chmod u+w main/build
elif command -v runuser >/dev/null; then
  program main fourth
  got=$(runuser -u nobody -- main/reel 2>said) || fail "another user: exit code $?"
  [ "$got" = first ] || fail "another user: printed '$got'"
  grep -q 'examples/program is newer than the program' said || fail "another user hears nothing of newer sources"
fi
