#!/usr/bin/env bash
# Installs what Joinery is built, tested and shown with, and does nothing where
# all of it is there already, so that a second run works without a network.
#
#   scripts/setup.sh            Debian packages, then the Python environment
#   scripts/setup.sh packages   only the Debian packages
#   scripts/setup.sh python     only the Python environment (.venv)
#   scripts/setup.sh list       prints the Debian packages, one a line
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  # build tools
  cmake ninja-build ccache clang-22 lld-22 git make
  # compiler: LLVM and MLIR, ONNX's file format, and what their configs look for
  libmlir-22-dev mlir-22-tools llvm-22-dev llvm-22-tools liblld-22-dev
  libonnx-dev libprotobuf-dev protobuf-compiler
  zlib1g-dev libzstd-dev libxml2-dev libedit-dev libffi-dev libcurl4-openssl-dev
  # runtime and the joinery command
  libflatbuffers-dev flatbuffers-compiler libzip-dev libcli11-dev
  nlohmann-json3-dev libxxhash-dev libdlpack-dev
  # tests
  libgtest-dev libonnx-testdata python3-venv
)

note() { printf 'setup: %s\n' "$*" >&2; }

missing_packages() {
  local installed
  # dpkg-query fails where it knows none of the names; that is an answer too.
  installed=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true; } |
    sed -n 's/^installed //p')
  printf '%s\n' "${packages[@]}" | grep -vxF -f <(printf '%s\n' "$installed") || true
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    note "this machine has no dpkg; install the counterparts of: ${packages[*]}"
    exit 3
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -eq 0 ] && return
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
      sudo=(sudo)
    else
      note "these Debian packages are missing, and installing them needs root. Run:"
      printf '  apt-get update && apt-get install -y --no-install-recommends %s\n' "${missing[*]}" >&2
      exit 3
    fi
  fi
  note "installing ${missing[*]}"
  local env=(env DEBIAN_FRONTEND=noninteractive)
  # The lists may be older than the archive, and a source that Joinery does not
  # need may be down: only the install decides.
  "${sudo[@]}" "${env[@]}" apt-get update -qq || note "apt-get update failed; going on with the lists at hand"
  if ! "${sudo[@]}" "${env[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then
    note "the packages could not be installed. Joinery is built on Debian 12 with its security"
    note "updates enabled: LLVM 22 is in the suite bookworm-security, component main."
    exit 3
  fi
}

# The stamp holds what the environment was made from, so a change of either the
# interpreter or the pins makes it anew.
install_python() {
  local venv=.venv pins=scripts/requirements.txt want
  want="$(python3 -c 'import sys; print(sys.version)') $(cksum <"$pins")"
  [ "$(cat "$venv/joinery-stamp" 2>/dev/null)" = "$want" ] && return
  note "making the Python environment in $venv"
  rm -rf "$venv"
  if ! python3 -m venv "$venv" >/dev/null; then
    note "python3 can make no environment; install the Debian package python3-venv"
    exit 3
  fi
  if ! "$venv/bin/pip" install -q --disable-pip-version-check --no-input -r "$pins"; then
    note "the Python packages of $pins could not be installed"
    exit 3
  fi
  printf '%s\n' "$want" >"$venv/joinery-stamp"
}

case "${1:-all}" in
all)
  install_packages
  install_python
  ;;
packages) install_packages ;;
python) install_python ;;
list) printf '%s\n' "${packages[@]}" ;;
*)
  sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
