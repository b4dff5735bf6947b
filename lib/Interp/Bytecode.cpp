//===- Bytecode.cpp - Scalar regions over blocks of lanes -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Bytecode.h"
#include "dialects/Rel/Rel.h"
#include "joinery/Interp/Interp.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

using namespace joinery;
using namespace joinery::interp;
using namespace mlir;

using Registers = std::vector<Lanes>;
using Kernel = void (*)(const Step &, const Registers &, int64_t);

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

/// Kernels from lambdas without captures: one loop per operation.
template <typename F> static void unaryF(const Step &s, const Registers &r,
                                         int64_t n) {
  const double *a = r[s.a].f();
  double *out = r[s.result].f();
  for (int64_t i = 0; i < n; ++i)
    out[i] = F()(a[i]);
}
template <typename F> static void binaryF(const Step &s, const Registers &r,
                                          int64_t n) {
  const double *a = r[s.a].f(), *b = r[s.b].f();
  double *out = r[s.result].f();
  for (int64_t i = 0; i < n; ++i)
    out[i] = F()(a[i], b[i]);
}
template <typename F> static void testF(const Step &s, const Registers &r,
                                        int64_t n) {
  const double *a = r[s.a].f(), *b = r[s.b].f();
  int64_t *out = r[s.result].i();
  for (int64_t i = 0; i < n; ++i)
    out[i] = F()(a[i], b[i]);
}
template <typename F> static void binaryI(const Step &s, const Registers &r,
                                          int64_t n) {
  const int64_t *a = r[s.a].i(), *b = r[s.b].i();
  int64_t *out = r[s.result].i();
  const Format to = s.to;
  for (int64_t i = 0; i < n; ++i)
    out[i] = wrapTo(F()(a[i], b[i]), to);
}
template <typename F> static void testI(const Step &s, const Registers &r,
                                        int64_t n) {
  const int64_t *a = r[s.a].i(), *b = r[s.b].i();
  int64_t *out = r[s.result].i();
  for (int64_t i = 0; i < n; ++i)
    out[i] = F()(a[i], b[i]);
}

static double maximum(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? std::nan("") : std::fmax(a, b);
}
static double minimum(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? std::nan("") : std::fmin(a, b);
}
/// Addition and the like wrap: unsigned arithmetic has no undefined overflow.
static int64_t wrapping(uint64_t x) { return static_cast<int64_t>(x); }
static int64_t divide(int64_t a, int64_t b) {
  return b == 0 ? 0 : b == -1 ? wrapping(-uint64_t(a)) : a / b;
}
static int64_t remainder(int64_t a, int64_t b) {
  return b == 0 || b == -1 ? 0 : a % b;
}

#define UNARY_F(EXPR) unaryF<decltype([](double a) -> double { return EXPR; })>
#define BINARY_F(EXPR)                                                         \
  binaryF<decltype([](double a, double b) -> double { return EXPR; })>
#define TEST_F(EXPR)                                                           \
  testF<decltype([](double a, double b) -> int64_t { return EXPR; })>
#define BINARY_I(EXPR)                                                         \
  binaryI<decltype([](int64_t a, int64_t b) -> int64_t { return EXPR; })>
#define TEST_I(EXPR)                                                           \
  testI<decltype([](int64_t a, int64_t b) -> int64_t { return EXPR; })>

static Kernel kernelOf(arith::CmpFPredicate predicate) {
  using P = arith::CmpFPredicate;
  switch (predicate) {
  case P::OEQ: return TEST_F(a == b);
  case P::OGT: return TEST_F(a > b);
  case P::OGE: return TEST_F(a >= b);
  case P::OLT: return TEST_F(a < b);
  case P::OLE: return TEST_F(a <= b);
  case P::ONE: return TEST_F(a < b || a > b);
  case P::ORD: return TEST_F(!std::isnan(a) && !std::isnan(b));
  case P::UEQ: return TEST_F(!(a < b || a > b));
  case P::UGT: return TEST_F(!(a <= b));
  case P::UGE: return TEST_F(!(a < b));
  case P::ULT: return TEST_F(!(a >= b));
  case P::ULE: return TEST_F(!(a > b));
  case P::UNE: return TEST_F(!(a == b));
  case P::UNO: return TEST_F(std::isnan(a) || std::isnan(b));
  case P::AlwaysTrue: return TEST_F((void(a), void(b), 1));
  case P::AlwaysFalse: return TEST_F((void(a), void(b), 0));
  }
  return nullptr;
}

static Kernel kernelOf(arith::CmpIPredicate predicate) {
  using P = arith::CmpIPredicate;
  switch (predicate) {
  case P::eq: return TEST_I(a == b);
  case P::ne: return TEST_I(a != b);
  case P::slt: return TEST_I(a < b);
  case P::sle: return TEST_I(a <= b);
  case P::sgt: return TEST_I(a > b);
  case P::sge: return TEST_I(a >= b);
  case P::ult: return TEST_I(uint64_t(a) < uint64_t(b));
  case P::ule: return TEST_I(uint64_t(a) <= uint64_t(b));
  case P::ugt: return TEST_I(uint64_t(a) > uint64_t(b));
  case P::uge: return TEST_I(uint64_t(a) >= uint64_t(b));
  }
  return nullptr;
}

/// The unsigned value of an integer that is held sign-extended.
static uint64_t unsignedOf(int64_t x, Format format) {
  int unused = 64 - format.bits;
  return uint64_t(x) << unused >> unused;
}
/// Saturates to the unsigned range of the type; held sign-extended like all.
static int64_t toUnsigned(double x, Format format) {
  double last = std::ldexp(1.0, format.bits) - 1;
  if (!(x > 0))
    return 0;
  return wrapTo(x >= last ? -1 : wrapping(static_cast<uint64_t>(x)), format);
}
/// i1 is held as 0 and 1; read as signed, 1 is -1.
static int64_t signedOf(int64_t x, Format format) {
  return format.bits == 1 ? -x : x;
}

template <typename F> static void convert(const Step &s, const Registers &r,
                                          int64_t n) {
  F()(s, r, n);
}
#define CONVERT(IN, OUT, EXPR)                                                 \
  convert<decltype([](const Step &s, const Registers &r, int64_t n) {          \
    const auto *in = r[s.a].IN();                                              \
    auto *out = r[s.result].OUT();                                             \
    [[maybe_unused]] const Format from = s.from, to = s.to;                    \
    for (int64_t i = 0; i < n; ++i) {                                          \
      auto a = in[i];                                                          \
      out[i] = EXPR;                                                           \
    }                                                                          \
  })>

/// The kernel of an operation, or null.
static Kernel kernelOf(Operation &op) {
  return llvm::TypeSwitch<Operation *, Kernel>(&op)
      .Case([](arith::AddFOp) { return Kernel(BINARY_F(a + b)); })
      .Case([](arith::SubFOp) { return Kernel(BINARY_F(a - b)); })
      .Case([](arith::MulFOp) { return Kernel(BINARY_F(a * b)); })
      .Case([](arith::DivFOp) { return Kernel(BINARY_F(a / b)); })
      .Case([](arith::RemFOp) { return Kernel(BINARY_F(std::fmod(a, b))); })
      .Case([](arith::NegFOp) { return Kernel(UNARY_F(-a)); })
      .Case([](arith::MaximumFOp) { return Kernel(BINARY_F(maximum(a, b))); })
      .Case([](arith::MinimumFOp) { return Kernel(BINARY_F(minimum(a, b))); })
      .Case([](arith::MaxNumFOp) { return Kernel(BINARY_F(std::fmax(a, b))); })
      .Case([](arith::MinNumFOp) { return Kernel(BINARY_F(std::fmin(a, b))); })
      .Case([](arith::CmpFOp c) { return kernelOf(c.getPredicate()); })
      .Case([](arith::CmpIOp c) { return kernelOf(c.getPredicate()); })
      .Case([](arith::AddIOp) {
        return Kernel(BINARY_I(wrapping(uint64_t(a) + uint64_t(b))));
      })
      .Case([](arith::SubIOp) {
        return Kernel(BINARY_I(wrapping(uint64_t(a) - uint64_t(b))));
      })
      .Case([](arith::MulIOp) {
        return Kernel(BINARY_I(wrapping(uint64_t(a) * uint64_t(b))));
      })
      .Case([](arith::DivSIOp) { return Kernel(BINARY_I(divide(a, b))); })
      .Case([](arith::RemSIOp) { return Kernel(BINARY_I(remainder(a, b))); })
      .Case([](arith::DivUIOp) {
        return Kernel(BINARY_I(b ? wrapping(uint64_t(a) / uint64_t(b)) : 0));
      })
      .Case([](arith::RemUIOp) {
        return Kernel(BINARY_I(b ? wrapping(uint64_t(a) % uint64_t(b)) : 0));
      })
      .Case([](arith::FloorDivSIOp) {
        return Kernel(BINARY_I(b == -1  ? wrapping(-uint64_t(a))
                               : b == 0 ? 0
                                        : llvm::divideFloorSigned(a, b)));
      })
      .Case([](arith::CeilDivSIOp) {
        return Kernel(BINARY_I(b == -1  ? wrapping(-uint64_t(a))
                               : b == 0 ? 0
                                        : llvm::divideCeilSigned(a, b)));
      })
      .Case([](arith::AndIOp) { return Kernel(BINARY_I(a & b)); })
      .Case([](arith::OrIOp) { return Kernel(BINARY_I(a | b)); })
      .Case([](arith::XOrIOp) { return Kernel(BINARY_I(a ^ b)); })
      .Case([](arith::ShLIOp) {
        return Kernel(BINARY_I(uint64_t(b) < 64 ? wrapping(uint64_t(a) << b)
                                                : 0));
      })
      .Case([](arith::ShRSIOp) {
        return Kernel(BINARY_I(a >> (uint64_t(b) < 64 ? b : 63)));
      })
      .Case([](arith::ShRUIOp) {
        return Kernel(convert<decltype([](const Step &s, const Registers &r,
                                          int64_t n) {
          const Format to = s.to;
          const int64_t *values = r[s.a].i(), *shifts = r[s.b].i();
          int64_t *out = r[s.result].i();
          for (int64_t i = 0; i < n; ++i) {
            uint64_t by = shifts[i], a = unsignedOf(values[i], to);
            out[i] = wrapTo(by < 64 ? a >> by : 0, to);
          }
        })>);
      })
      .Case([](arith::MaxSIOp) { return Kernel(BINARY_I(std::max(a, b))); })
      .Case([](arith::MinSIOp) { return Kernel(BINARY_I(std::min(a, b))); })
      .Case([](arith::MaxUIOp) {
        return Kernel(BINARY_I(uint64_t(a) > uint64_t(b) ? a : b));
      })
      .Case([](arith::MinUIOp) {
        return Kernel(BINARY_I(uint64_t(a) < uint64_t(b) ? a : b));
      })
      .Case([](arith::ExtFOp) { return Kernel(UNARY_F(a)); })
      .Case([](arith::TruncFOp) {
        return Kernel(convert<decltype([](const Step &s, const Registers &r,
                                          int64_t n) {
          std::copy_n(r[s.a].f(), n, r[s.result].f());
          roundLanes(r[s.result].f(), n, s.to);
        })>);
      })
      .Case([](arith::SIToFPOp) {
        return Kernel(CONVERT(i, f, double(signedOf(a, from))));
      })
      .Case([](arith::UIToFPOp) {
        return Kernel(CONVERT(i, f, double(unsignedOf(a, from))));
      })
      .Case([](arith::FPToSIOp) {
        return Kernel(CONVERT(f, i, toInteger(a, to)));
      })
      .Case([](arith::FPToUIOp) {
        return Kernel(CONVERT(f, i, toUnsigned(a, to)));
      })
      .Case([](arith::ExtSIOp) {
        return Kernel(CONVERT(i, i, wrapTo(signedOf(a, from), to)));
      })
      .Case([](arith::ExtUIOp) {
        return Kernel(CONVERT(i, i, wrapTo(unsignedOf(a, from), to)));
      })
      .Case([](arith::TruncIOp) { return Kernel(CONVERT(i, i, wrapTo(a, to))); })
      .Case([](math::ExpOp) { return Kernel(UNARY_F(std::exp(a))); })
      .Case([](math::Exp2Op) { return Kernel(UNARY_F(std::exp2(a))); })
      .Case([](math::ExpM1Op) { return Kernel(UNARY_F(std::expm1(a))); })
      .Case([](math::LogOp) { return Kernel(UNARY_F(std::log(a))); })
      .Case([](math::Log2Op) { return Kernel(UNARY_F(std::log2(a))); })
      .Case([](math::Log10Op) { return Kernel(UNARY_F(std::log10(a))); })
      .Case([](math::Log1pOp) { return Kernel(UNARY_F(std::log1p(a))); })
      .Case([](math::SqrtOp) { return Kernel(UNARY_F(std::sqrt(a))); })
      .Case([](math::RsqrtOp) { return Kernel(UNARY_F(1 / std::sqrt(a))); })
      .Case([](math::CbrtOp) { return Kernel(UNARY_F(std::cbrt(a))); })
      .Case([](math::ErfOp) { return Kernel(UNARY_F(std::erf(a))); })
      .Case([](math::ErfcOp) { return Kernel(UNARY_F(std::erfc(a))); })
      .Case([](math::TanhOp) { return Kernel(UNARY_F(std::tanh(a))); })
      .Case([](math::SinOp) { return Kernel(UNARY_F(std::sin(a))); })
      .Case([](math::CosOp) { return Kernel(UNARY_F(std::cos(a))); })
      .Case([](math::TanOp) { return Kernel(UNARY_F(std::tan(a))); })
      .Case([](math::AsinOp) { return Kernel(UNARY_F(std::asin(a))); })
      .Case([](math::AcosOp) { return Kernel(UNARY_F(std::acos(a))); })
      .Case([](math::AtanOp) { return Kernel(UNARY_F(std::atan(a))); })
      .Case([](math::SinhOp) { return Kernel(UNARY_F(std::sinh(a))); })
      .Case([](math::CoshOp) { return Kernel(UNARY_F(std::cosh(a))); })
      .Case([](math::AsinhOp) { return Kernel(UNARY_F(std::asinh(a))); })
      .Case([](math::AcoshOp) { return Kernel(UNARY_F(std::acosh(a))); })
      .Case([](math::AtanhOp) { return Kernel(UNARY_F(std::atanh(a))); })
      .Case([](math::FloorOp) { return Kernel(UNARY_F(std::floor(a))); })
      .Case([](math::CeilOp) { return Kernel(UNARY_F(std::ceil(a))); })
      .Case([](math::TruncOp) { return Kernel(UNARY_F(std::trunc(a))); })
      .Case([](math::RoundOp) { return Kernel(UNARY_F(std::round(a))); })
      .Case([](math::RoundEvenOp) { return Kernel(UNARY_F(std::nearbyint(a))); })
      .Case([](math::AbsFOp) { return Kernel(UNARY_F(std::fabs(a))); })
      .Case([](math::AbsIOp) {
        return Kernel(CONVERT(i, i, wrapTo(a < 0 ? wrapping(-uint64_t(a)) : a,
                                           to)));
      })
      .Case([](math::IsNaNOp) { return Kernel(CONVERT(f, i, std::isnan(a))); })
      .Case([](math::IsInfOp) { return Kernel(CONVERT(f, i, std::isinf(a))); })
      .Case(
          [](math::IsFiniteOp) { return Kernel(CONVERT(f, i, std::isfinite(a))); })
      .Case([](math::PowFOp) { return Kernel(BINARY_F(std::pow(a, b))); })
      .Case([](math::Atan2Op) { return Kernel(BINARY_F(std::atan2(a, b))); })
      .Case([](math::CopySignOp) {
        return Kernel(BINARY_F(std::copysign(a, b)));
      })
      .Case([](math::FmaOp) {
        return Kernel(convert<decltype([](const Step &s, const Registers &r,
                                          int64_t n) {
          for (int64_t i = 0; i < n; ++i)
            r[s.result].f()[i] =
                std::fma(r[s.a].f()[i], r[s.b].f()[i], r[s.c].f()[i]);
        })>);
      })
      .Case([](math::IPowIOp) {
        return Kernel(BINARY_I(([&] {
          uint64_t result = 1, base = a;
          if (b < 0)
            return int64_t(a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0);
          for (uint64_t e = b; e; e >>= 1, base *= base)
            if (e & 1)
              result *= base;
          return int64_t(result);
        }())));
      })
      .Case([](math::FPowIOp) {
        return Kernel(convert<decltype([](const Step &s, const Registers &r,
                                          int64_t n) {
          for (int64_t i = 0; i < n; ++i)
            r[s.result].f()[i] = std::pow(r[s.a].f()[i], double(r[s.b].i()[i]));
        })>);
      })
      .Case([](arith::SelectOp op) {
        if (isa<FloatType>(op.getType()))
          return Kernel(convert<decltype([](const Step &s, const Registers &r,
                                            int64_t n) {
            for (int64_t i = 0; i < n; ++i)
              r[s.result].f()[i] =
                  r[s.a].i()[i] ? r[s.b].f()[i] : r[s.c].f()[i];
          })>);
        return Kernel(convert<decltype([](const Step &s, const Registers &r,
                                          int64_t n) {
          for (int64_t i = 0; i < n; ++i)
            r[s.result].i()[i] = r[s.a].i()[i] ? r[s.b].i()[i] : r[s.c].i()[i];
        })>);
      })
      .Default([](Operation *) { return Kernel(nullptr); });
}

//===----------------------------------------------------------------------===//
// Compilation
//===----------------------------------------------------------------------===//

FailureOr<Bytecode> Bytecode::compile(Block &block, bool roundSteps) {
  Bytecode code;
  llvm::DenseMap<Value, unsigned> homes;
  auto home = [&](Value value) {
    code.registers.emplace_back();
    return homes[value] = code.registers.size() - 1;
  };
  for (BlockArgument argument : block.getArguments())
    home(argument);
  code.arguments = block.getNumArguments();
  for (Operation &op : block.without_terminator()) {
    if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
      const Lanes &lanes = code.registers[home(constant.getResult())];
      if (auto f = dyn_cast<FloatAttr>(constant.getValue()))
        std::fill_n(lanes.f(), blockLanes, f.getValueAsDouble());
      else if (auto i = dyn_cast<IntegerAttr>(constant.getValue()))
        std::fill_n(lanes.i(), blockLanes,
                    wrapTo(i.getValue().getSExtValue(), i.getType()));
      else
        return op.emitError("this constant has no interpretation");
      continue;
    }
    Kernel kernel = op.getNumResults() == 1 ? kernelOf(op) : nullptr;
    if (!kernel)
      return op.emitError() << "'" << op.getName()
                            << "' has no interpretation in a scalar region";
    Step step;
    step.kernel = kernel;
    unsigned *operands[] = {&step.a, &step.b, &step.c};
    for (auto [i, operand] : llvm::enumerate(op.getOperands()))
      *operands[i] = homes.lookup(operand);
    step.from = op.getOperand(0).getType();
    step.to = op.getResult(0).getType();
    step.round =
        step.to.isFloat() && (roundSteps || isDiscretized(&op));
    step.result = home(op.getResult(0));
    code.steps.push_back(step);
  }
  code.result = homes.lookup(
      cast<rel::YieldOp>(block.getTerminator()).getValue());
  return code;
}

const Lanes &Bytecode::run(int64_t n) const {
  for (const Step &step : steps) {
    step.kernel(step, registers, n);
    if (step.round)
      roundLanes(registers[step.result].f(), n, step.to);
  }
  return registers[result];
}
