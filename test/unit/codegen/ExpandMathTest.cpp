//===- ExpandMathTest.cpp - Accuracy of the elementary functions ----------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledModule.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringExtras.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <xmmintrin.h>

using namespace joinery;
using namespace joinery::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

/// One function of the math dialect, what it should be, and how far off it may
/// be between `low` and `high`.
struct Function {
  std::string op;
  std::function<double(double)> reference;
  double low, high;
  /// A value passes if it is within either error.
  double relative, absolute;
};

const std::vector<Function> &functions() {
  static const std::vector<Function> all = {
      {"exp", [](double x) { return std::exp(x); }, -inf, inf, 1.2e-7, 2.4e-38},
      {"exp2", [](double x) { return std::exp2(x); }, -inf, inf, 1.2e-7,
       2.4e-38},
      {"expm1", [](double x) { return std::expm1(x); }, -inf, inf, 2e-7,
       2.4e-38},
      {"log", [](double x) { return std::log(x); }, 0, inf, 6.1e-8, 0},
      {"log2", [](double x) { return std::log2(x); }, 0, inf, 6.1e-8, 0},
      {"log10", [](double x) { return std::log10(x); }, 0, inf, 6.1e-8, 0},
      {"log1p", [](double x) { return std::log1p(x); }, -1, inf, 6.1e-8, 0},
      {"tanh", [](double x) { return std::tanh(x); }, -inf, inf, 3e-7, 2.4e-38},
      {"erf", [](double x) { return std::erf(x); }, -inf, inf, 3e-7, 2.4e-38},
      {"erfc", [](double x) { return std::erfc(x); }, -inf, inf, 0, 3e-7},
      {"sin", [](double x) { return std::sin(x); }, -1e5, 1e5, 0, 1.3e-7},
      {"cos", [](double x) { return std::cos(x); }, -1e5, 1e5, 0, 1.3e-7},
      {"tan", [](double x) { return std::tan(x); }, -1.5, 1.5, 2e-6, 1e-6},
      {"sinh", [](double x) { return std::sinh(x); }, -80, 80, 1e-6, 1e-6},
      {"cosh", [](double x) { return std::cosh(x); }, -80, 80, 1e-6, 1e-6},
      {"atan", [](double x) { return std::atan(x); }, -inf, inf, 5e-6, 1e-7},
      {"asin", [](double x) { return std::asin(x); }, -1, 1, 4e-6, 4e-6},
      {"acos", [](double x) { return std::acos(x); }, -1, 1, 4e-6, 4e-6},
      {"rsqrt", [](double x) { return 1 / std::sqrt(x); }, 0, inf, 2e-7, 0},
      {"round", [](double x) { return std::round(x); }, -inf, inf, 0, 0},
      {"roundeven", [](double x) { return std::nearbyint(x); }, -inf, inf, 0,
       0},
      {"floor", [](double x) { return std::floor(x); }, -inf, inf, 0, 0},
      {"ceil", [](double x) { return std::ceil(x); }, -inf, inf, 0, 0},
      {"trunc", [](double x) { return std::trunc(x); }, -inf, inf, 0, 0},
      {"sqrt", [](double x) { return std::sqrt(x); }, 0, inf, 6.1e-8, 0},
  };
  return all;
}

/// Every bit pattern of a sparse but even sample, and what is special.
std::vector<float> sampleFloats() {
  std::vector<float> samples = {0.0f,
                                -0.0f,
                                1.0f,
                                -1.0f,
                                0.5f,
                                -0.5f,
                                1.5f,
                                2.5f,
                                0.49999997f,
                                88.7f,
                                88.73f,
                                -87.3f,
                                -87.4f,
                                128.0f,
                                127.99f,
                                -126.0f,
                                std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::quiet_NaN(),
                                std::numeric_limits<float>::max(),
                                std::numeric_limits<float>::lowest(),
                                std::numeric_limits<float>::min()};
  for (int i = 0; i < 128; ++i)
    samples.push_back(std::ldexp(1.0f, i - 64));
  for (uint64_t bits = 0; bits < (uint64_t(1) << 32); bits += 14'551) {
    uint32_t word = bits;
    float value;
    std::memcpy(&value, &word, sizeof value);
    // The runtime flushes denormal numbers.
    if (std::isnormal(value))
      samples.push_back(value);
  }
  std::mt19937 random(1);
  for (float range : {1.0f, 4.0f, 20.0f, 100.0f, 1e5f}) {
    std::uniform_real_distribution<float> uniform(-range, range);
    for (int i = 0; i < 50'000; ++i)
      samples.push_back(uniform(random));
  }
  samples.resize(samples.size() / 16 * 16);
  return samples;
}

/// `expression` computes %r from %x (and %y), for vectors and for scalars.
std::string kernel(const std::string &name, const std::string &expression,
                   const std::string &type, int lanes) {
  std::string t =
      lanes == 1 ? type : "vector<" + std::to_string(lanes) + "x" + type + ">";
  std::string text = R"(
func.func @NAME(%a: !llvm.ptr, %b: !llvm.ptr, %c: !llvm.ptr, %n: i64) {
  %zero = arith.constant 0 : i64
  %step = arith.constant LANES : i64
  scf.for %i = %zero to %n step %step : i64 {
    %pa = llvm.getelementptr %a[%i] : (!llvm.ptr, i64) -> !llvm.ptr, TYPE
    %pb = llvm.getelementptr %b[%i] : (!llvm.ptr, i64) -> !llvm.ptr, TYPE
    %pc = llvm.getelementptr %c[%i] : (!llvm.ptr, i64) -> !llvm.ptr, TYPE
    %x = llvm.load %pa {alignment = 4 : i64} : !llvm.ptr -> VALUE
    %y = llvm.load %pb {alignment = 4 : i64} : !llvm.ptr -> VALUE
    %r = EXPRESSION : VALUE
    llvm.store %r, %pc {alignment = 4 : i64} : VALUE, !llvm.ptr
  }
  return
}
)";
  auto replace = [&](const std::string &from, const std::string &to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos;
         at += to.size())
      text.replace(at, from.size(), to);
  };
  replace("EXPRESSION", expression);
  replace("NAME", name);
  replace("LANES", std::to_string(lanes));
  replace("TYPE", type);
  replace("VALUE", t);
  return text;
}

template <typename T> using Kernel = void(const T *, const T *, T *, int64_t);

class ExpandMath : public testing::TestWithParam<std::string> {
protected:
  void SetUp() override {
    isa = findIsa(GetParam());
    ASSERT_NE(isa, nullptr);
    if (!canRun(*isa))
      GTEST_SKIP() << "this machine lacks " << isa->name;
  }
  void compile(const std::string &text) {
    context = makeContext();
    auto module = mlir::parseSourceString<mlir::ModuleOp>(text, context.get());
    ASSERT_TRUE(module);
    std::vector<std::string> names;
    for (auto func : module->getOps<mlir::func::FuncOp>()) {
      setIsa(func, *isa);
      names.push_back(func.getName().str());
    }
    compiled = std::make_unique<CompiledModule>(*module, names);
    ASSERT_EQ(compiled->error(), "");
  }
  /// Runs a kernel as the runtime does, with denormals flushed.
  template <typename T>
  std::vector<T> run(const std::string &name, const std::vector<T> &x,
                     const std::vector<T> &y) {
    std::vector<T> result(x.size());
    auto *function = compiled->get<Kernel<T>>(name);
    EXPECT_NE(function, nullptr);
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);
    if (function)
      function(x.data(), y.data(), result.data(), x.size());
    _mm_setcsr(mode);
    return result;
  }

  const Isa *isa = nullptr;
  std::unique_ptr<mlir::MLIRContext> context;
  std::unique_ptr<CompiledModule> compiled;
};

/// Whether `got` is right, and if both are finite how far off it is.
bool isClose(double got, double want, double relative, double absolute,
             double &error) {
  if (std::isnan(want))
    return std::isnan(got);
  if (float(want) == float(got) && (std::isinf(got) || std::isinf(float(want))))
    return true;
  double difference = std::abs(got - want);
  error = difference <= absolute ? 0 : difference / std::abs(want);
  return difference <= absolute || difference <= relative * std::abs(want);
}

// Tests that every f32 function keeps its error over all magnitudes and
// specials, and that vectors and scalars have the same bits.
TEST_P(ExpandMath, Unary) {
  std::string text;
  for (const Function &function : functions())
    for (int lanes : {16, 1})
      text += kernel(function.op + std::to_string(lanes),
                     "math." + function.op + " %x", "f32", lanes);
  compile(text);
  std::vector<float> x = sampleFloats();
  for (const Function &function : functions()) {
    auto results = run(function.op + "16", x, x);
    double worst = 0, worstAt = 0;
    int shown = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      // NaN is in every domain.
      if (x[i] < function.low || x[i] > function.high)
        continue;
      double want = function.reference(x[i]), error = 0;
      if (!isClose(results[i], want, function.relative, function.absolute,
                   error) &&
          ++shown < 5)
        ADD_FAILURE() << function.op << "(" << x[i] << ") = " << results[i]
                      << ", not " << want;
      if (error > worst)
        worst = error, worstAt = x[i];
    }
    RecordProperty(function.op, std::to_string(worst * 1e9) + "e-9 at " +
                                    std::to_string(worstAt));
    auto scalars = run(function.op + "1", x, x);
    for (size_t i = 0; i < x.size(); ++i)
      if (!std::isnan(results[i]))
        ASSERT_EQ(scalars[i], results[i]) << function.op << "(" << x[i] << ")";
  }
}

// Tests that x (1 + erf(x / sqrt 2)), twice GELU, is computed as a whole and
// keeps its error, also where it is rounded to bf16, and that vectors and scalars
// have the same bits.
TEST_P(ExpandMath, ErfGate) {
  std::string text;
  for (auto [name, lanes] : {std::pair("gate", 16), {"gate", 1}, {"half", 16}}) {
    std::string t = lanes == 1 ? "f32" : "vector<16xf32>";
    auto constant = [&](const char *name, const char *value) {
      return std::string(name) + " = arith.constant " +
             (lanes == 1 ? value : "dense<" + std::string(value) + ">") +
             " : " + t + "\n";
    };
    // Of what is rounded to bf16 polynomials of smaller degrees are enough.
    std::string product = "%q = arith.mulf %x, %g";
    if (name == std::string("half"))
      product = "%p = arith.mulf %x, %g : " + t +
                "\n%h = arith.truncf %p : " + t + " to vector<16xbf16>\n" +
                "%q = arith.extf %h : vector<16xbf16> to " + t + "\n" +
                "%unused = arith.addf %q, %q";
    text += kernel(name + std::to_string(lanes),
                   "arith.mulf %x, %x : " + t + "\n" +
                       constant("%k", "0.707106769") + constant("%o", "1.0") +
                       "%s = arith.mulf %x, %k : " + t + "\n" +
                       "%e = math.erf %s : " + t + "\n" +
                       "%g = arith.addf %e, %o : " + t + "\n" +
                       product,
                   "f32", lanes);
  }
  for (size_t at = 0;
       (at = text.find("store %r, %pc", at)) != std::string::npos;)
    text.replace(at, 13, "store %q, %pc");
  compile(text);
  std::vector<float> x = sampleFloats();
  auto results = run("gate16", x, x), scalars = run("gate1", x, x);
  auto halves = run("half16", x, x);
  for (size_t i = 0; i < x.size(); ++i) {
    double want = x[i] > 0 ? x[i] * (1 + std::erf(x[i] / M_SQRT2))
                           : x[i] * std::erfc(-x[i] / M_SQRT2);
    if (std::isnan(x[i])) {
      ASSERT_TRUE(std::isnan(results[i]));
      ASSERT_TRUE(std::isnan(halves[i]));
    } else if (std::isfinite(want) && std::abs(x[i]) < 1e37) {
      ASSERT_NEAR(results[i], want, 2.5e-7 * std::max(1.0, std::abs(double(x[i]))))
          << x[i];
      // Half of the last of bf16's 8 bits, and the polynomials' error.
      ASSERT_NEAR(halves[i], want, (0x1p-8 + 1.5e-4) * std::abs(want) + 2e-6)
          << x[i];
    } else if (x[i] > 0 && std::isinf(x[i])) {
      ASSERT_EQ(results[i], x[i]);
      ASSERT_EQ(halves[i], x[i]);
    }
    if (!std::isnan(results[i]))
      ASSERT_EQ(scalars[i], results[i]) << x[i];
  }
}

// Tests that logarithms of powers of two, which formulas truncate, are those
// of a correctly rounded library.
TEST_P(ExpandMath, LogOfPowers) {
  compile(kernel("log", "math.log %x", "f32", 1) +
          kernel("log2", "math.log2 %x", "f32", 1));
  std::vector<float> x;
  for (int i = -126; i < 128; ++i)
    x.push_back(std::ldexp(1.0f, i));
  auto ln = run("log", x, x), binary = run("log2", x, x);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(ln[i], float(std::log(double(x[i]))));
    EXPECT_EQ(binary[i], float(int(i) - 126));
  }
}

// Tests functions of two arguments, specials included.
TEST_P(ExpandMath, Binary) {
  compile(kernel("pow", "math.powf %x, %y", "f32", 16) +
          kernel("fmod", "arith.remf %x, %y", "f32", 16) +
          kernel("atan2", "math.atan2 %x, %y", "f32", 16));
  std::vector<float> x, y;
  const float specials[] = {0.0f,     -0.0f,     1.0f, -1.0f, 2.0f,  -2.0f,
                            3.0f,     -3.0f,     0.5f, -0.5f, 1e30f, -1e30f,
                            INFINITY, -INFINITY, NAN,  7.25f};
  for (float a : specials)
    for (float b : specials)
      x.push_back(a), y.push_back(b);
  std::mt19937 random(2);
  std::uniform_real_distribution<float> base(0.01f, 50.0f), power(-8, 8);
  for (int i = 0; i < 100'000; ++i)
    x.push_back(base(random)), y.push_back(power(random));
  auto pows = run("pow", x, y), mods = run("fmod", x, y);
  auto angles = run("atan2", x, y);
  for (size_t i = 0; i < x.size(); ++i) {
    double error;
    EXPECT_TRUE(isClose(pows[i], std::pow(double(x[i]), double(y[i])), 1e-7,
                        1.2e-38, error))
        << "pow(" << x[i] << ", " << y[i] << ") = " << pows[i];
    EXPECT_TRUE(isClose(mods[i], std::fmod(x[i], y[i]), 0,
                        std::abs(x[i] / y[i]) > 1e15 ? inf : 0, error))
        << "fmod(" << x[i] << ", " << y[i] << ") = " << mods[i];
    if (i >= 256)
      EXPECT_NEAR(angles[i], std::atan2(x[i], y[i]), 5e-6);
  }
}

// Tests f64, which index arithmetic and constants use.
TEST_P(ExpandMath, Double) {
  struct {
    const char *op;
    double (*reference)(double);
    double low, high, error;
  } cases[] = {{"exp", std::exp, -700, 709, 3e-16},
               {"exp2", std::exp2, -1020, 1023, 3e-16},
               {"expm1", std::expm1, -50, 700, 5e-16},
               {"log", std::log, 1e-300, 1e300, 5e-16},
               {"log2", std::log2, 1e-300, 1e300, 5e-16},
               {"log10", std::log10, 1e-300, 1e300, 5e-16},
               {"tanh", std::tanh, -30, 30, 1e-15},
               {"sin", std::sin, -3, 3, 4e-16},
               {"cos", std::cos, -1.5, 1.5, 4e-16},
               {"erf", std::erf, -10, 10, 5e-7}};
  std::string text;
  for (const auto &c : cases)
    text += kernel(c.op, std::string("math.") + c.op + " %x", "f64", 1);
  text += kernel("powf", "math.powf %x, %y", "f64", 1);
  compile(text);
  std::mt19937_64 random(3);
  for (const auto &c : cases) {
    std::uniform_real_distribution<double> uniform(0, 1);
    std::vector<double> x;
    for (int i = 0; i < 20'000; ++i)
      x.push_back(c.low > 0 ? c.low * std::pow(c.high / c.low, uniform(random))
                            : c.low + (c.high - c.low) * uniform(random));
    auto results = run(c.op, x, x);
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      double want = c.reference(x[i]);
      worst = std::max(worst, std::abs(results[i] - want) / std::abs(want));
    }
    EXPECT_LE(worst, c.error) << c.op;
  }
  std::vector<double> x = {2, 10, 1.5}, y = {10, -3, 100};
  auto powers = run("powf", x, y);
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(powers[i] / std::pow(x[i], y[i]), 1, 1e-13);
}

/// f64 to f16 and back.
std::string narrowing(const std::string &name, int lanes) {
  std::string text = kernel(name, "NARROW", "f64", lanes);
  auto shaped = [&](const std::string &type) {
    return lanes == 1 ? type
                      : "vector<" + std::to_string(lanes) + "x" + type + ">";
  };
  std::string from = "%r = NARROW : " + shaped("f64");
  return text.replace(text.find(from), from.size(),
                      "%h = arith.truncf %x : " + shaped("f64") + " to " +
                          shaped("f16") + "\n    %r = arith.extf %h : " +
                          shaped("f16") + " to " + shaped("f64"));
}

// Tests that f64 is rounded to f16 once: a value that is just off the middle
// of two does not become the middle on the way.
TEST_P(ExpandMath, NarrowsWithOneRounding) {
  compile(narrowing("f16x16", 16) + narrowing("f16x1", 1));
  std::vector<double> x = {0.0, -0.0, inf, -inf, 65504, 65519.999, 65520,
                           65536, 1e300, -1e300, 1e-300, 5.960464477539063e-8,
                           2.9802322387695312e-8, 2.98023223876953126e-8};
  std::mt19937_64 random(4);
  for (int i = 0; i < 20'000; ++i) {
    // Few bits, then nothing or a little more.
    double value = std::ldexp(double(random() % 8192), int(random() % 36) - 32);
    double nudge = std::ldexp(1.0, -int(random() % 44) - 8) * int(random() % 3);
    x.push_back((random() % 2 ? value : -value) * (1 + nudge));
    x.push_back(value * (1 - nudge));
  }
  x.resize(x.size() / 16 * 16);
  auto vectors = run("f16x16", x, x), scalars = run("f16x1", x, x);
  for (size_t i = 0; i < x.size(); ++i) {
    llvm::APFloat want(x[i]);
    bool lost;
    want.convert(llvm::APFloat::IEEEhalf(),
                 llvm::APFloat::rmNearestTiesToEven, &lost);
    ASSERT_EQ(vectors[i], want.convertToDouble()) << x[i];
    ASSERT_EQ(scalars[i], want.convertToDouble()) << x[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, ExpandMath, testing::Values("avx2", "avx512"),
                         [](const auto &info) { return info.param; });

} // namespace
