#!/usr/bin/env bash
# make demo: a real sentence-embedding model, compiled, linked into a C++
# program, and asked a few questions.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}

# The model is found when CMake runs, and may have been installed after that.
if ! cmake --build "$build" --target help 2>/dev/null | grep -q '^semantic_search:'; then
  cmake "$build" >/dev/null
fi
cmake --build "$build" --target semantic_search
program=$build/examples/semantic_search/semantic_search
# Once to bring the weights into memory, as a server that starts again has them.
"$program" >/dev/null
echo
"$program"
