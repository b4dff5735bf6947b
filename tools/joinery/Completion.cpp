//===- Completion.cpp - joinery completion --------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Commands.h"

#include <cstdio>

namespace joinery::tool {

// zsh reads it through bashcompinit.
static constexpr char kScript[] = R"(_joinery() {
  local word="${COMP_WORDS[COMP_CWORD]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="compile run bench explain check compare store completion --help --version"
  elif [ "${word#-}" != "$word" ]; then
    case "${COMP_WORDS[1]}" in
    run) words="--inputs --input --outputs --output --deflate --threads --isa --verify --read --trace --help" ;;
    bench) words="--inputs --input --batch --seq --ragged --dim --seed --threads --seconds --json --isa --verify --read --trace --help" ;;
    compile) words="-o --emit --compile-to --layers --precision --padding --rounding --levels --help" ;;
    compare) words="--inputs --reference --precision --max-error --min-cosine --threads --help" ;;
    *) words="--help" ;;
    esac
  elif [ "$COMP_CWORD" -eq 2 ]; then
    case "${COMP_WORDS[1]}" in
    store) words="ls verify" ;;
    completion) words="bash zsh" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _joinery joinery
)";

int completionCommand(const std::string &shell) {
  if (shell == "zsh")
    std::fputs("autoload -U +X bashcompinit && bashcompinit\n", stdout);
  std::fputs(kScript, stdout);
  return Done;
}

} // namespace joinery::tool
