//===- Expr.cpp - Integer expressions over a run's symbols ----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Expr.h"

#include "program_generated.h"

#include <algorithm>

namespace joinery::runtime {

static constexpr size_t kMaxStack = 64;

Expr Expr::constant(int64_t value) {
  Expr expr;
  expr.code = {{Op::Const, value}};
  return expr;
}

bool Expr::decode(const program::Expr *source, size_t symbolCount,
                  int64_t absent, Expr &expr) {
  if (!source) {
    expr = constant(absent);
    return true;
  }
  if (!source->code() || source->code()->size() == 0)
    return false;
  // The FlatBuffers verifier looks at the vector's alignment only.
  if (reinterpret_cast<uintptr_t>(source->code()->Data()) %
      alignof(program::Instr))
    return false;
  expr.code.clear();
  expr.code.reserve(source->code()->size());
  size_t depth = 0;
  for (const program::Instr *instr : *source->code()) {
    auto op = Op(instr->op());
    switch (op) {
    case Op::Const:
      ++depth;
      break;
    case Op::Symbol:
      if (instr->imm() < 0 || uint64_t(instr->imm()) >= symbolCount)
        return false;
      ++depth;
      break;
    case Op::Add:
    case Op::Sub:
    case Op::Mul:
    case Op::FloorDiv:
    case Op::Mod:
    case Op::Min:
    case Op::Max:
      if (depth < 2)
        return false;
      --depth;
      break;
    default:
      return false;
    }
    if (depth > kMaxStack)
      return false;
    expr.code.push_back({op, instr->imm()});
  }
  return depth == 1;
}

static bool apply(Expr::Op op, int64_t a, int64_t b, int64_t &out) {
  switch (op) {
  case Expr::Op::Add:
    return !__builtin_add_overflow(a, b, &out);
  case Expr::Op::Sub:
    return !__builtin_sub_overflow(a, b, &out);
  case Expr::Op::Mul:
    return !__builtin_mul_overflow(a, b, &out);
  case Expr::Op::FloorDiv:
    if (b <= 0)
      return false;
    out = a / b - (a % b < 0);
    return true;
  case Expr::Op::Mod:
    if (b <= 0)
      return false;
    out = a % b + (a % b < 0 ? b : 0);
    return true;
  case Expr::Op::Min:
    out = std::min(a, b);
    return true;
  case Expr::Op::Max:
    out = std::max(a, b);
    return true;
  default:
    return false;
  }
}

bool Expr::evaluate(const int64_t *symbols, int64_t &value) const {
  int64_t stack[kMaxStack];
  size_t depth = 0;
  for (const Instr &instr : code) {
    if (instr.op == Op::Const) {
      stack[depth++] = instr.imm;
    } else if (instr.op == Op::Symbol) {
      stack[depth++] = symbols[instr.imm];
    } else {
      --depth;
      if (!apply(instr.op, stack[depth - 1], stack[depth], stack[depth - 1]))
        return false;
    }
  }
  value = stack[0];
  return true;
}

} // namespace joinery::runtime
