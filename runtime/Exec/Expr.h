//===- Expr.h - Integer expressions over a run's symbols --------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_EXEC_EXPR_H
#define JOINERY_EXEC_EXPR_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace joinery::program {
struct Expr;
}

namespace joinery::runtime {

/// A decoded expression in postfix order. It is well-formed by construction:
/// `decode` admits nothing that could leave the stack or the symbols.
class Expr {
public:
  enum class Op : uint8_t {
    Const,
    Symbol,
    Add,
    Sub,
    Mul,
    FloorDiv,
    Mod,
    Min,
    Max
  };
  struct Instr {
    Op op;
    int64_t imm;
  };

  Expr() = default;
  static Expr constant(int64_t value);

  /// False if the code is malformed, refers to a symbol of number
  /// `symbolCount` or more, or needs more stack than evaluation has. A missing
  /// expression is the constant `absent`.
  static bool decode(const program::Expr *source, size_t symbolCount,
                     int64_t absent, Expr &expr);

  /// False if a value leaves 64 bits or a divisor is not positive.
  bool evaluate(const int64_t *symbols, int64_t &value) const;

  bool isConstant() const {
    return code.size() == 1 && code[0].op == Op::Const;
  }
  /// The symbol's number if the expression is a plain symbol, else -1.
  int64_t plainSymbol() const {
    return code.size() == 1 && code[0].op == Op::Symbol ? code[0].imm : -1;
  }
  int64_t constantValue() const { return code[0].imm; }
  const std::vector<Instr> &instructions() const { return code; }

private:
  std::vector<Instr> code{{Op::Const, 0}};
};

} // namespace joinery::runtime

#endif // JOINERY_EXEC_EXPR_H
