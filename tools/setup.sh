# What ./run, ./check and .ci/run share: installing packages, configuring, building. Sourced by them, not run.
# shellcheck shell=bash disable=SC2034
# Expects bash with `set -euo pipefail`. Talks on stderr, so that stdout belongs to the program that is run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
log=$root/build/setup.log

# Debian packages, each as `package` or, where a program of that name does as well, `package:program`.
packages_to_build=(g++:c++ cmake:cmake ninja-build:ninja pkg-config:pkg-config libeigen3-dev libstb-dev
                   nlohmann-json3-dev libcli11-dev libutf8proc-dev libspng-dev)
packages_to_check=("${packages_to_build[@]}" doctest-dev python3:python3)

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "$(basename "$0"): $*"
  exit 1
}

# One build at a time in this folder: a second call waits for the first.
start_setup() {
  mkdir -p "$root/build" || fail "cannot write to $root/build"
  if command -v flock >/dev/null; then
    exec 9>"$root/build/.lock"
    flock --nonblock 9 || { say "Waiting for another ./run or ./check to finish building ..."; flock 9; }
  fi
  : >"$log"
}
end_setup() { exec 9>&-; }

# need_packages what-for package...: installs those that are missing.
need_packages() {
  local purpose=$1 entry missing=()
  shift
  for entry in "$@"; do
    is_installed "$entry" || missing+=("${entry%%:*}")
  done
  if ((${#missing[@]} == 0)); then return; fi
  if ! command -v apt-get >/dev/null; then
    fail "these are needed $purpose, and this system has no apt-get to install them:" \
         "${missing[*]} (the names are those of Debian packages)"
  fi
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "these packages are needed $purpose, and there is no sudo to install them;" \
                                       "as root, run: apt-get install ${missing[*]}"
    as_root=(sudo)
    say "Installing with sudo, $purpose: ${missing[*]}"
  else
    say "Installing, $purpose: ${missing[*]}"
  fi
  install_packages "${missing[@]}" ||
    fail "apt-get could not install ${missing[*]}: $(apt_reason) (all of its output is in build/setup.log)"
}

is_installed() {
  local package=${1%%:*} program=${1#*:}
  if [[ $1 == *:* ]] && command -v "$program" >/dev/null; then return 0; fi
  command -v dpkg-query >/dev/null &&
    dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null | grep -q -x installed  # of any architecture
}

# The lists of packages are brought up to date only when apt does not know a package, or no longer has that version.
install_packages() {
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --quiet --option DPkg::Lock::Timeout=300
             --option Acquire::Retries=2)
  local install=("${apt[@]}" install --yes --no-install-recommends "$@")
  if "${apt[@]}" install --simulate --no-install-recommends "$@" >/dev/null 2>&1; then
    "${install[@]}" >>"$log" 2>&1 </dev/null && return
  fi
  "${apt[@]}" update >>"$log" 2>&1 </dev/null || true  # one dead source need not matter; the next line tells
  "${install[@]}" >>"$log" 2>&1 </dev/null
}

apt_reason() {
  if grep -q -E 'Could not resolve|Could not connect|Temporary failure|Network is unreachable|Connection (refused|failed|timed out)' "$log"; then
    echo "its package servers cannot be reached; is the network up?"
  else
    grep -m 1 '^E: ' "$log" || grep '^sudo: ' "$log" | tail -n 1 | grep . || echo "no reason given"
  fi
}

# configure preset: once, and again only when the folder has been moved. Changes of CMake files are ninja's business.
configure() {
  local preset=$1 folder=$root/build/$1 version
  version=$(cmake --version | sed -n 's/^cmake version \([0-9]*\.[0-9]*\).*/\1/p')
  if [[ $(printf '%s\n3.22\n' "$version" | sort --version-sort | head -n 1) != 3.22 ]]; then
    fail "CMake $version is too old; 3.22 or newer is needed (Debian 12, Ubuntu 22.04 and later have it)"
  fi
  if [[ -f $folder/CMakeCache.txt ]] && ! grep -q -x "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$folder/CMakeCache.txt"; then
    say "build/$preset was made for another folder; starting it anew."
    rm -rf "$folder"
  fi
  if [[ -f $folder/build.ninja || -f $folder/Makefile ]]; then return; fi
  local generator=()
  command -v ninja >/dev/null || generator=(-G "Unix Makefiles")
  (cd "$root" && cmake --preset "$preset" "${generator[@]}") >>"$log" 2>&1 || show_failure "CMake"
}

# build preset [target...]: with all cores, quietly; on a terminal with a count of the steps.
build() {
  local preset=$1 target targets=()
  shift
  for target in "$@"; do targets+=(--target "$target"); done
  configure "$preset"
  if ! cmake --build "$root/build/$preset" "${targets[@]}" --parallel "$(nproc)" 2>&1 | tee -a "$log" | show_progress; then
    show_failure "The build"
  fi
}

show_progress() {
  if [[ ! -t 2 ]]; then
    cat >/dev/null
    return
  fi
  local line
  while IFS= read -r line; do
    if [[ $line =~ ^\[[0-9/%\ ]+\] ]]; then printf '\r\033[K  %s' "${BASH_REMATCH[0]}" >&2; fi
  done
  printf '\r\033[K' >&2
}

show_failure() {
  local first
  first=$(grep -n -m 1 -E '^FAILED|CMake Error|: (fatal )?error: ' "$log" | cut -d : -f 1 || true)
  if [[ -n $first ]]; then tail -n "+$first" "$log" | head -n 40 >&2; else tail -n 40 "$log" >&2; fi
  fail "$1 failed; the first error is above, all of the output in build/setup.log"
}
