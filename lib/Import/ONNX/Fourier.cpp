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

/// The sum over dimension `axis` of x times the matrix [k, n].
static FailureOr<Tensor> transformed(Importer &im, const Tensor &x, int64_t axis,
                                     const Tensor &matrix) {
  int rank = x.rank();
  SmallVector<int> ofX, ofResult;
  for (int i = 0; i < rank; ++i) {
    ofX.push_back(i);
    ofResult.push_back(i == axis ? rank : i);
  }
  return product(im, x, ofX, &matrix, {rank, int(axis)}, ofResult);
}

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

/// The length of the transform: that of the axis, or longer by zeros past the end,
/// which add nothing.
static FailureOr<SymExpr> lengthOf(Importer &im, const SymExpr &extent) {
  const Tensor *stated = im.input(1);
  if (!stated)
    return extent;
  auto elements = im.symbolicElements(*stated);
  if (!elements || elements->size() != 1)
    return im.refuse("dft_length depends on data");
  SymExpr length = im.simplify((*elements)[0]);
  if (failed(im.requireAtMost(extent, length, "dft_length is at least the extent "
                                              "of the axis")))
    return failure();
  return length;
}

/// Cosines and sines of 2 pi k n / length as [count, extent].
static FailureOr<std::pair<Tensor, Tensor>>
matrices(Importer &im, const SymExpr &count, const SymExpr &extent,
         const SymExpr &length, int type) {
  Dims keys{im.newDim("k", count), im.newDim("n", extent)};
  SymExpr turns(1);
  for (const Dim &dim : keys)
    turns = turns * (dim.columns.empty() ? SymExpr(0)
                                         : SymExpr::key(dim.columns[0]));
  Tensor grid =
      im.polynomial(im.simplify(SymExpr::mod(turns, length)), keys, Int64);
  Tensor whole = im.vector({length}, Int64, /*isScalar=*/true);
  auto cosines = matrixOf(im, grid, whole, type, [](Element a) {
    return a.op<math::CosOp>(a.value);
  });
  auto sines = matrixOf(im, grid, whole, type, [](Element a) {
    return a.op<math::SinOp>(a.value);
  });
  if (failed(cosines) || failed(sines))
    return failure();
  return std::pair(*cosines, *sines);
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
  SymExpr extent = x->dims[*axis].extent;
  auto length = lengthOf(im, extent);
  if (failed(length))
    return failure();
  SymExpr count = onesided
                      ? SymExpr::floorDiv(*length, SymExpr(2)) + SymExpr(1)
                      : *length;
  auto tables = matrices(im, count, extent, *length, x->onnxType);
  if (failed(tables))
    return failure();
  auto &[cosines, sines] = *tables;
  // (a + ib)(c + is), s with the transform's sign.
  double sign = inverse ? 1 : -1;
  Tensor first = partOf(im, *x, 0);
  auto real = transformed(im, first, *axis, cosines);
  auto imaginary = transformed(im, first, *axis, sines);
  if (failed(real) || failed(imaginary))
    return failure();
  if (*parts == 2) {
    Tensor second = partOf(im, *x, 1);
    auto otherReal = transformed(im, second, *axis, sines);
    auto otherImaginary = transformed(im, second, *axis, cosines);
    if (failed(otherReal) || failed(otherImaginary))
      return failure();
    real = combine(im, *real, *otherReal, -sign);
    imaginary = combine(im, *otherImaginary, *imaginary, sign);
  } else if (!inverse) {
    imaginary = mapUnary(im, *imaginary, x->onnxType,
                         [](Element a) { return -a; });
  }
  if (inverse && succeeded(real) && succeeded(imaginary)) {
    real = divideByExtent(im, *real, *length);
    imaginary = divideByExtent(im, *imaginary, *length);
  }
  if (failed(real) || failed(imaginary))
    return failure();
  Tensor both[2] = {insertUnitDim(im, *real, real->rank()),
                    insertUnitDim(im, *imaginary, imaginary->rank())};
  return setResult(im, concatDims(im, {&both[0], &both[1]}, real->rank()));
}

static const OpEntry table[] = {
    {"", "DFT", 17, 0, importDFT,
     "dft_length is known from the shapes and not less than the axis"},
};

ArrayRef<OpEntry> onnx_import::fourierOps() { return table; }
