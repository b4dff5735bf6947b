//===- Quantization.cpp - Levels and what they stand for ------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A level q of 8 or 16 bits stands for (q - zero) * scale. To quantise is a join
// that rounds: to the nearest level, of two to the even one, and to the last level
// beyond. Products of levels are products of floats, which hold them exactly: their
// sums are exact up to 2^24, and rounded as those of any contraction beyond.
//
//===----------------------------------------------------------------------===//

#include "Building.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace joinery;
using namespace joinery::onnx_import;
using namespace mlir;

static LogicalResult requireLevels(Importer &im, int type) {
  if (type == Int8 || type == UInt8 || type == Int16 || type == UInt16)
    return success();
  return im.refuse("levels of type " + dataTypeName(type) +
                   " are not supported");
}

/// A vector of one number is a number.
static Tensor numberOr(Tensor parameter) {
  if (parameter.rank() == 1 && parameter.dims[0].extent.isConst(1))
    parameter.dims.clear();
  return parameter;
}

FailureOr<Tensor> onnx_import::alongAxis(Importer &im, const Tensor &x,
                                         const Tensor &parameter,
                                         StringRef what) {
  Tensor view = parameter;
  if (int64_t size = im.node().getInt("block_size", 0)) {
    // Each number is one for `size` keys of the axis.
    auto axis = im.axisOf(im.node().getInt("axis", 1), x.rank());
    if (failed(axis))
      return failure();
    if (size < 0 || view.rank() != x.rank() ||
        !im.simplify(x.dims[*axis].extent - view.dims[*axis].extent * size)
             .isConst(0))
      return im.refuse("blocks of " + Twine(size) + " do not divide the axis");
    view = insertUnitDim(im, view, *axis + 1);
    view.dims[*axis + 1].extent = size;
    return mergeDims(im, view, *axis);
  }
  view = numberOr(view);
  if (view.rank() == 0)
    return view;
  if (view.rank() != 1)
    return im.refuse(what + " of rank " + Twine(view.rank()));
  auto axis = im.axisOf(im.node().getInt("axis", 1), x.rank());
  if (failed(axis) ||
      failed(im.requireEqual(view.dims[0].extent, x.dims[*axis].extent,
                             what + " has one number for each key of the axis")))
    return failure();
  while (view.rank() < x.rank() - *axis)
    view = insertUnitDim(im, view, view.rank());
  return view;
}

FailureOr<Tensor> onnx_import::centre(Importer &im, const Tensor &levels,
                                      const Tensor *zero) {
  if (levels.onnxType != Int32 && failed(requireLevels(im, levels.onnxType)))
    return failure();
  if (zero && zero->onnxType != levels.onnxType)
    return im.refuse("a zero point of type " + dataTypeName(zero->onnxType) +
                     " for levels of type " + dataTypeName(levels.onnxType));
  if (!zero)
    return castTensor(im, levels, Float);
  Type real = im.elementType(Float);
  auto number = [&](Element level) {
    return castElement(level, levels.onnxType, Float, real);
  };
  return mapBinary(im, levels, *zero, Float, [&](Element level, Element zero) {
    return number(level) - number(zero);
  });
}

static FailureOr<Tensor> multiply(Importer &im, const Tensor &x,
                                  const Tensor &y) {
  return mapBinary(im, x, y, Float, [](Element a, Element b) { return a * b; });
}

FailureOr<Tensor> onnx_import::dequantize(Importer &im, const Tensor &levels,
                                          const Tensor &scale,
                                          const Tensor *zero) {
  if (failed(requireFloat(im, scale)))
    return failure();
  auto factor = alongAxis(im, levels, scale, "the scale");
  if (failed(factor))
    return failure();
  FailureOr<Tensor> offset = failure();
  if (zero && failed(offset = alongAxis(im, levels, *zero, "the zero point")))
    return failure();
  auto centred = centre(im, levels, zero ? &*offset : nullptr);
  if (failed(centred))
    return failure();
  auto wide = castTensor(im, *factor, Float);
  if (failed(wide))
    return failure();
  auto values = multiply(im, *centred, *wide);
  if (failed(values))
    return failure();
  return castTensor(im, *values, scale.onnxType);
}

/// The level of x / scale + zero, which both are floats.
static Element level(Element x, Element scale, Element zero, int type,
                     Type element) {
  Element quotient = x / scale;
  Element rounded = quotient.op<math::RoundEvenOp>(quotient.value);
  return castElement(rounded + zero, Float, type, element);
}

FailureOr<Tensor> onnx_import::quantize(Importer &im, const Tensor &x,
                                        const Tensor &scale, const Tensor *zero,
                                        int type) {
  if (failed(requireFloat(im, scale)) || failed(requireLevels(im, type)))
    return failure();
  auto values = castTensor(im, x, Float);
  auto divisor = alongAxis(im, x, scale, "the scale");
  if (failed(values) || failed(divisor) ||
      failed(divisor = castTensor(im, *divisor, Float)))
    return failure();
  Type real = im.elementType(Float), element = im.elementType(type);
  if (!zero)
    return mapBinary(im, *values, *divisor, type, [&](Element x, Element scale) {
      return level(x, scale, x.constant(0), type, element);
    });
  auto offset = alongAxis(im, x, *zero, "the zero point");
  if (failed(offset))
    return failure();
  return mapElements(im, {&*values, &*divisor, &*offset}, type, [&](Elements v) {
    return level(v[0], v[1], castElement(v[2], type, Float, real), type, element);
  });
}

//===----------------------------------------------------------------------===//
// To levels and back
//===----------------------------------------------------------------------===//

static LogicalResult importQuantizeLinear(Importer &im) {
  const Tensor *x = required(im, 0), *scale = requiredFloat(im, 1),
               *zero = im.input(2);
  if (!x || !scale)
    return failure();
  if (!isFloat(x->onnxType) && x->onnxType != Int32)
    return im.refuse("elements of type " + dataTypeName(x->onnxType) +
                     " are not supported");
  int stated = im.node().getInt("output_dtype", 0);
  int type = zero ? zero->onnxType : stated ? stated : int(UInt8);
  return setResult(im, quantize(im, *x, *scale, zero, type));
}

static LogicalResult importDequantizeLinear(Importer &im) {
  const Tensor *levels = required(im, 0), *scale = requiredFloat(im, 1);
  if (!levels || !scale)
    return failure();
  return setResult(im, dequantize(im, *levels, *scale, im.input(2)));
}

FailureOr<DynamicLevels> onnx_import::quantizeDynamically(Importer &im,
                                                          const Tensor &x) {
  SmallVector<int64_t> axes;
  for (int64_t i = 0; i + 1 < x.rank(); ++i)
    axes.push_back(i);
  // Row by row, which workers share, and then over the rows.
  auto fold = [&](rel::Monoid monoid) -> FailureOr<Tensor> {
    if (x.rank() == 0)
      return x;
    auto rows = im.reduce(monoid, x, {x.rank() - 1}, /*keepDims=*/false);
    if (failed(rows) || axes.empty())
      return rows;
    return im.reduce(monoid, *rows, axes, /*keepDims=*/false);
  };
  auto most = fold(rel::Monoid::Max), least = fold(rel::Monoid::Min);
  if (failed(most) || failed(least))
    return failure();
  auto scale = mapBinary(im, *most, *least, Float, [](Element a, Element b) {
    Element zero = a.constant(0);
    Element range = maximum(a, zero) - minimum(b, zero);
    // Of a tensor of zeros any scale will do.
    return equal(range, zero).select(range.constant(1), range / 255);
  });
  if (failed(scale))
    return failure();
  Type byte = im.elementType(UInt8);
  auto zero = mapBinary(im, *least, *scale, UInt8, [&](Element b, Element scale) {
    Element none = b.constant(0);
    return level(-minimum(b, none), scale, none, UInt8, byte);
  });
  if (failed(zero))
    return failure();
  auto levels = quantize(im, x, *scale, &*zero, UInt8);
  if (failed(levels))
    return failure();
  return DynamicLevels{*levels, *scale, *zero};
}

static LogicalResult importDynamicQuantizeLinear(Importer &im) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x)
    return failure();
  auto made = quantizeDynamically(im, *x);
  if (failed(made))
    return failure();
  im.setOutput(0, made->levels);
  im.setOutput(1, made->scale);
  im.setOutput(2, made->zero);
  return success();
}

//===----------------------------------------------------------------------===//
// Products of levels
//===----------------------------------------------------------------------===//

static LogicalResult importMatMulInteger(Importer &im) {
  const Tensor *a = required(im, 0), *b = required(im, 1),
               *zeroA = im.input(2), *zeroB = im.input(3);
  if (!a || !b)
    return failure();
  // A zero point for each row of a, for each column of b.
  Tensor rows, columns;
  if (zeroA) {
    rows = numberOr(*zeroA);
    if (rows.rank() == 1)
      rows = insertUnitDim(im, rows, 1);
  }
  if (zeroB)
    columns = numberOr(*zeroB);
  auto left = centre(im, *a, zeroA ? &rows : nullptr);
  auto right = centre(im, *b, zeroB ? &columns : nullptr);
  if (failed(left) || failed(right))
    return failure();
  auto product = matmul(im, *left, *right);
  if (failed(product))
    return failure();
  return setResult(im, castTensor(im, *product, Int32));
}

static LogicalResult importConvInteger(Importer &im) {
  const Tensor *x = required(im, 0), *w = required(im, 1),
               *zeroW = im.input(3);
  if (!x || !w)
    return failure();
  if (zeroW && numberOr(*zeroW).rank() != 0)
    return im.refuse("a zero point for each filter is not supported");
  auto left = centre(im, *x, im.input(2));
  auto right = centre(im, *w, zeroW);
  if (failed(left) || failed(right))
    return failure();
  auto product = convolve(im, *left, *right, nullptr);
  if (failed(product))
    return failure();
  return setResult(im, castTensor(im, *product, Int32));
}

static LogicalResult importQLinearMatMul(Importer &im) {
  const Tensor *in[8];
  for (unsigned i = 0; i < 8; ++i)
    if (!(in[i] = required(im, i)))
      return failure();
  auto a = dequantize(im, *in[0], *in[1], in[2]);
  auto b = dequantize(im, *in[3], *in[4], in[5]);
  if (failed(a) || failed(b))
    return failure();
  auto product = matmul(im, *a, *b);
  if (failed(product))
    return failure();
  return setResult(im, quantize(im, *product, *in[6], in[7], in[7]->onnxType));
}

static LogicalResult importQLinearConv(Importer &im) {
  const Tensor *in[8];
  for (unsigned i = 0; i < 8; ++i)
    if (!(in[i] = required(im, i)))
      return failure();
  const Tensor *bias = im.input(8);
  auto x = dequantize(im, *in[0], *in[1], in[2]);
  if (failed(x))
    return failure();
  // Scales are one number, or one for each filter.
  auto perFilter = [&](const Tensor &parameter) {
    Tensor view = numberOr(parameter);
    while (view.rank() > 0 && view.rank() < in[3]->rank())
      view = insertUnitDim(im, view, view.rank());
    return view;
  };
  Tensor zero = perFilter(*in[5]), scale = perFilter(*in[4]);
  auto w = centre(im, *in[3], &zero);
  if (failed(w) || failed(w = multiply(im, *w, scale)))
    return failure();
  FailureOr<Tensor> sums = failure();
  if (bias) {
    auto unit = multiply(im, *in[1], *in[4]);
    sums = castTensor(im, *bias, Float);
    if (failed(unit) || failed(sums) ||
        failed(sums = multiply(im, *sums, *unit)))
      return failure();
  }
  auto y = convolve(im, *x, *w, bias ? &*sums : nullptr);
  if (failed(y))
    return failure();
  return setResult(im, quantize(im, *y, *in[6], in[7], in[7]->onnxType));
}

static constexpr const char *notes =
    "levels of 8 and 16 bits; blocks divide the axis";

static const OpEntry plainTable[] = {
    {"", "ConvInteger", 10, 0, importConvInteger,
     "no zero point for each filter", true},
    {"", "DequantizeLinear", 10, 0, importDequantizeLinear, notes, true},
    {"", "DynamicQuantizeLinear", 11, 0, importDynamicQuantizeLinear, "", true},
    {"", "MatMulInteger", 10, 0, importMatMulInteger,
     "sums beyond 2^24 are rounded to floats", true},
    {"", "QLinearConv", 10, 0, importQLinearConv, "", true},
    {"", "QLinearMatMul", 10, 0, importQLinearMatMul, "", true},
    {"", "QuantizeLinear", 10, 0, importQuantizeLinear, notes, true},
    {"com.microsoft", "DequantizeLinear", 1, 0, importDequantizeLinear, notes,
     true},
    {"com.microsoft", "QuantizeLinear", 1, 0, importQuantizeLinear, notes, true},
};

ArrayRef<OpEntry> onnx_import::quantizationOps() {
  static const std::vector<OpEntry> table =
      concat({plainTable, quantizationContribOps()});
  return table;
}
