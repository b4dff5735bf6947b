//===- Fourier.cpp - The discrete Fourier transform -----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// X[k] = sum over n of x[n] (cos(2 pi k n / L) - i sin(2 pi k n / L)): contractions
// with two matrices that are functions of their keys. Real and imaginary parts are
// relations of their own, so that what nobody reads is not computed.
//
//===----------------------------------------------------------------------===//

#include "Building.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace joinery;
using namespace joinery::onnx_import;
using namespace mlir;

namespace {
/// One transform along dimension `axis` of its operands, which end there without
/// the dimension of parts.
struct Transform {
  Importer &im;
  int64_t axis;
  double sign; // of the imaginary part: -1, and 1 for the inverse
  Tensor cosines, sines; // [k, n]

  FailureOr<Tensor> along(const Tensor &x, const Tensor &matrix) const {
    int64_t rank = x.rank();
    SmallVector<int> ofX, ofResult;
    for (int i = 0; i < rank; ++i) {
      ofX.push_back(i);
      ofResult.push_back(i == axis ? rank : i);
    }
    return product(im, x, ofX, &matrix, {int(rank), int(axis)}, ofResult);
  }
};
} // namespace

static FailureOr<Tensor> combine(Importer &im, const Tensor &a, const Tensor &b,
                                 double sign) {
  return mapBinary(im, a, b, a.onnxType,
                   [&](Element x, Element y) { return sign > 0 ? x + y : x - y; });
}

/// `function` of 2 pi k n / length at the keys of [k, n].
static FailureOr<Tensor> matrixOf(Importer &im, const Tensor &turns,
                                  const Tensor &length, int type,
                                  llvm::function_ref<Element(Element)> function) {
  Type element = im.elementType(type);
  return mapBinary(im, turns, length, type, [&](Element m, Element l) {
    Element angle = castElement(m, Int64, type, element) * (2 * M_PI) /
                    castElement(l, Int64, type, element);
    return function(angle);
  });
}

/// Part 0 or 1 of the last dimension, without it.
static Tensor partOf(Importer &im, const Tensor &x, int64_t part) {
  Tensor slice = sliceDim(im, x, x.rank() - 1, part, 1);
  slice.dims.pop_back();
  return slice;
}

static FailureOr<int64_t> axisOfTransform(Importer &im, int64_t rank) {
  int64_t axis = im.node().getInt("axis", 1);
  if (im.node().opset() >= 20) {
    axis = -2;
    if (im.input(2)) {
      auto stated = im.constantInts(2, "axis");
      if (failed(stated) || stated->size() != 1)
        return im.refuse("axis is not one number");
      axis = stated->front();
    }
  }
  auto result = im.axisOf(axis, rank);
  if (succeeded(result) && *result == rank - 1)
    return im.refuse("axis is that of real and imaginary parts");
  return result;
}

static LogicalResult importDFT(Importer &im) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x)
    return failure();
  if (x->rank() < 2)
    return im.refuse("an operand of rank " + Twine(x->rank()));
  auto parts = x->dims.back().extent.asConst();
  if (!parts || (*parts != 1 && *parts != 2))
    return im.refuse("the last dimension holds neither a real part nor both");
  auto axis = axisOfTransform(im, x->rank());
  if (failed(axis))
    return failure();
  bool inverse = im.node().getInt("inverse", 0);
  bool onesided = im.node().getInt("onesided", 0);
  if (onesided && (inverse || *parts == 2))
    return im.refuse("onesided = 1 of complex numbers, or inverse");
  SymExpr extent = x->dims[*axis].extent, length = extent;
  if (const Tensor *stated = im.input(1)) {
    auto elements = im.symbolicElements(*stated);
    if (!elements || elements->size() != 1)
      return im.refuse("dft_length depends on data");
    length = im.simplify((*elements)[0]);
    // Longer: of zeros past the end, which add nothing.
    if (failed(im.requireAtMost(extent, length, "dft_length is at least the "
                                                "extent of the axis")))
      return failure();
  }
  SymExpr count = onesided ? SymExpr::floorDiv(length, SymExpr(2)) + SymExpr(1)
                           : length;
  Dims keys{im.newDim("k", count), im.newDim("n", extent)};
  SymExpr turns(1);
  for (const Dim &dim : keys)
    turns = turns * (dim.columns.empty() ? SymExpr(0)
                                         : SymExpr::key(dim.columns[0]));
  Tensor grid =
      im.polynomial(im.simplify(SymExpr::mod(turns, length)), keys, Int64);
  Tensor whole = im.vector({length}, Int64, /*isScalar=*/true);
  auto cosines = matrixOf(im, grid, whole, x->onnxType, [](Element a) {
    return a.op<math::CosOp>(a.value);
  });
  auto sines = matrixOf(im, grid, whole, x->onnxType, [](Element a) {
    return a.op<math::SinOp>(a.value);
  });
  if (failed(cosines) || failed(sines))
    return failure();
  Transform transform{im, *axis, inverse ? 1.0 : -1.0, *cosines, *sines};
  Tensor real = partOf(im, *x, 0);
  auto realCosines = transform.along(real, *cosines);
  auto realSines = transform.along(real, *sines);
  if (failed(realCosines) || failed(realSines))
    return failure();
  FailureOr<Tensor> re = *realCosines, imaginary = failure();
  if (*parts == 2) {
    // (a + ib)(c + is) with s of the transform's sign.
    Tensor other = partOf(im, *x, 1);
    auto otherCosines = transform.along(other, *cosines);
    auto otherSines = transform.along(other, *sines);
    if (failed(otherCosines) || failed(otherSines))
      return failure();
    re = combine(im, *re, *otherSines, -transform.sign);
    imaginary = combine(im, *otherCosines, *realSines, transform.sign);
  } else {
    imaginary = mapUnary(im, *realSines, x->onnxType, [&](Element a) {
      return transform.sign > 0 ? a : -a;
    });
  }
  if (inverse && succeeded(re) && succeeded(imaginary)) {
    re = divideByExtent(im, *re, length);
    imaginary = divideByExtent(im, *imaginary, length);
  }
  if (failed(re) || failed(imaginary))
    return failure();
  Tensor both[2] = {insertUnitDim(im, *re, re->rank()),
                    insertUnitDim(im, *imaginary, imaginary->rank())};
  return setResult(im, concatDims(im, {&both[0], &both[1]}, re->rank()));
}

static const OpEntry table[] = {
    {"", "DFT", 17, 0, importDFT,
     "dft_length is known from the shapes and not less than the axis"},
};

ArrayRef<OpEntry> onnx_import::fourierOps() { return table; }
