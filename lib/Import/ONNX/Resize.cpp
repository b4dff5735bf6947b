//===- Resize.cpp - Resize ------------------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Interpolation is linear in the pixels and separable: along each dimension it
// is a contraction with a matrix that the two sizes decide. The nearest pixel is
// a rekey. Position embeddings that are stored for another size fold away.
//
//===----------------------------------------------------------------------===//

#include "Building.h"
#include "ImporterImpl.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

namespace {
/// How a dimension is resized: from `in` pixels to `out`, `scale` times as many.
struct Resizing {
  int64_t in, out;
  double scale;
};

struct Attributes {
  std::string mode, nearest, coordinates;
  double cubic = -0.75;
  bool excludeOutside = false, antialias = false;
};
} // namespace

/// Where pixel `x` of the result lies among the pixels of the operand.
static FailureOr<double> coordinateOf(Importer &im, const Attributes &with,
                                      const Resizing &r, int64_t x) {
  const std::string &mode = with.coordinates;
  double centre = (x + 0.5) / r.scale - 0.5;
  if (mode == "half_pixel")
    return centre;
  if (mode == "pytorch_half_pixel")
    return r.out > 1 ? centre : 0;
  if (mode == "align_corners")
    return r.out > 1 ? double(x) * (r.in - 1) / (r.out - 1) : 0;
  if (mode == "asymmetric")
    return x / r.scale;
  if (mode == "half_pixel_symmetric") {
    double adjustment = r.out / (r.in * r.scale);
    return r.in / 2.0 * (1 - adjustment) + centre;
  }
  return im.refuse("the coordinate transformation '" + mode +
                   "' is not supported");
}

/// The weight of a pixel by its distance: the triangle, or Keys' cubic
/// convolution (IEEE Trans. ASSP 29, 1981, eq. 15 with a = `cubic`).
static double weightAt(const Attributes &with, double distance) {
  double d = std::abs(distance), a = with.cubic;
  if (with.mode == "linear")
    return std::max(0.0, 1 - d);
  if (d <= 1)
    return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/// The matrix [out, in] in row-major order: each pixel of the result weights
/// one or two on either side. Pixels beyond the border are the last ones again,
/// or do not count.
static FailureOr<std::vector<double>>
weightsOf(Importer &im, const Attributes &with, const Resizing &r) {
  std::vector<double> matrix(r.out * r.in);
  int side = with.mode == "linear" ? 1 : 2;
  for (int64_t x = 0; x < r.out; ++x) {
    auto at = coordinateOf(im, with, r, x);
    if (failed(at))
      return failure();
    int64_t first = int64_t(std::floor(*at)) - side + 1;
    double total = 0;
    double *row = matrix.data() + x * r.in;
    for (int64_t pixel = first; pixel < first + 2 * side; ++pixel) {
      double weight = weightAt(with, *at - double(pixel));
      if (with.excludeOutside && (pixel < 0 || pixel >= r.in))
        continue;
      row[std::clamp<int64_t>(pixel, 0, r.in - 1)] += weight;
      total += weight;
    }
    if (with.excludeOutside)
      for (int64_t i = 0; i < r.in; ++i)
        row[i] /= total;
  }
  return matrix;
}

static FailureOr<Tensor> interpolate(Importer &im, const Attributes &with,
                                     const Tensor &x, int64_t axis,
                                     const Resizing &r) {
  auto matrix = weightsOf(im, with, r);
  if (failed(matrix))
    return failure();
  auto type = cast<FloatType>(im.elementType(x.onnxType));
  SmallVector<Attribute> values;
  for (double weight : *matrix)
    values.push_back(FloatAttr::get(type, weight));
  Tensor weights;
  weights.onnxType = x.onnxType;
  weights.dims = {im.newDim("o", r.out), im.newDim("i", r.in)};
  SmallVector<rel::Column> columns;
  SmallVector<int64_t> shape;
  for (const Dim &dim : weights.dims)
    for (const std::string &column : dim.columns) {
      columns.push_back(
          rel::Column(im.builder.getContext(), column, dim.extent));
      shape.push_back(*dim.extent.asConst());
    }
  auto table =
      createTable(im, "interpolation", rel::RelType::get(columns, type));
  table.setValueAttr(
      DenseElementsAttr::get(RankedTensorType::get(shape, type), values));
  weights.constant = table;
  SmallVector<int> labels, result;
  constexpr int outLabel = -1;
  for (int64_t i = 0; i < x.rank(); ++i) {
    labels.push_back(i);
    result.push_back(i == axis ? outLabel : int(i));
  }
  return product(im, x, labels, &weights, {outLabel, int(axis)}, result);
}

/// The nearest pixels, if they are (x * in + c) floordiv out for some c, or the
/// border where that is outside.
static FailureOr<Tensor> pickNearest(Importer &im, const Attributes &with,
                                     const Tensor &x, int64_t axis,
                                     const Resizing &r) {
  std::vector<int64_t> pixels;
  for (int64_t i = 0; i < r.out; ++i) {
    auto at = coordinateOf(im, with, r, i);
    if (failed(at))
      return failure();
    double pixel = with.nearest == "round_prefer_floor"  ? std::ceil(*at - 0.5)
                   : with.nearest == "round_prefer_ceil" ? std::floor(*at + 0.5)
                   : with.nearest == "floor"             ? std::floor(*at)
                   : with.nearest == "ceil"              ? std::ceil(*at)
                                                         : NAN;
    if (std::isnan(pixel))
      return im.refuse("the rounding '" + with.nearest + "' is unknown");
    pixels.push_back(std::clamp<int64_t>(int64_t(pixel), 0, r.in - 1));
  }
  for (int64_t c = -r.in - r.out; c <= r.in + r.out; ++c) {
    bool inside = true, fits = true;
    for (int64_t i = 0; fits && i < r.out; ++i) {
      int64_t pixel = llvm::divideFloorSigned(i * r.in + c, r.out);
      inside &= pixel >= 0 && pixel < r.in;
      fits = std::clamp<int64_t>(pixel, 0, r.in - 1) == pixels[i];
    }
    if (!fits)
      continue;
    Tensor source = im.withOneColumn(x, axis);
    Dims dims = source.dims;
    dims[axis] = im.newDim("o", r.out);
    std::map<std::string, SymExpr> map;
    if (!source.dims[axis].columns.empty()) {
      SymExpr key = dims[axis].columns.empty()
                        ? SymExpr(0)
                        : SymExpr::key(dims[axis].columns[0]);
      SymExpr pixel =
          SymExpr::floorDiv(key * SymExpr(r.in) + SymExpr(c), r.out);
      if (!inside)
        pixel = SymExpr::min(SymExpr::max(pixel, 0), r.in - 1);
      map[source.dims[axis].columns[0]] = im.simplify(pixel);
    }
    return im.remap(source, map, std::move(dims));
  }
  return im.refuse("the nearest pixels of " + Twine(r.in) + " for " +
                   Twine(r.out) + " are not evenly spaced");
}

/// The sizes that change, by axis; a size that stays may be unknown.
static LogicalResult resizingsOf(Importer &im, const Tensor &x,
                                 std::map<int64_t, Resizing> &result) {
  const Node &node = im.node();
  std::vector<int64_t> axes;
  if (node.hasAttr("axes")) {
    for (int64_t given : node.getInts("axes")) {
      auto axis = im.axisOf(given, x.rank());
      if (failed(axis))
        return failure();
      axes.push_back(*axis);
    }
  } else {
    for (int64_t i = 0; i < x.rank(); ++i)
      axes.push_back(i);
  }
  std::optional<std::vector<SymExpr>> sizes;
  std::optional<std::vector<double>> scales;
  unsigned at = node.opset() < 11 ? 1 : 2;
  if (node.hasInput(3))
    sizes = im.symbolicElements(*im.input(3));
  else if (node.hasInput(at))
    scales = im.constantElements(*im.input(at), 16);
  if (!sizes && !scales)
    return im.refuse("the sizes and scales depend on data");
  if ((sizes ? sizes->size() : scales->size()) != axes.size())
    return im.refuse("there is not one size or scale for each axis");
  for (auto [i, axis] : llvm::enumerate(axes)) {
    SymExpr extent = im.simplify(x.dims[axis].extent);
    if (sizes ? im.simplify((*sizes)[i] - extent).isConst(0)
              : (*scales)[i] == 1)
      continue;
    auto in = extent.asConst();
    auto out = sizes ? im.simplify((*sizes)[i]).asConst()
               : in  ? std::optional(int64_t(std::floor(*in * (*scales)[i])))
                     : std::nullopt;
    if (!in || !out)
      return im.refuse("dimension " + Twine(axis) + " of size " +
                       extent.str() +
                       " is resized, whose sizes must be known; export the "
                       "model for images of one size");
    // Of weights the matrix has in * out.
    if (*in < 1 || *out < 1 || *out > (int64_t(1) << 22) / *in)
      return im.refuse("a dimension is resized from " + Twine(*in) + " to " +
                       Twine(*out) + " pixels");
    result[axis] = {*in, *out,
                    scales ? (*scales)[i] : double(*out) / double(*in)};
  }
  return success();
}

static FailureOr<Attributes> attributesOf(Importer &im) {
  const Node &node = im.node();
  if (node.opset() < 11)
    return im.refuse("sizes that change are supported from opset 11 on");
  if (node.getString("keep_aspect_ratio_policy", "stretch") != "stretch")
    return im.refuse("keep_aspect_ratio_policy must be 'stretch'");
  Attributes with;
  with.mode = node.getString("mode", "nearest");
  if (with.mode != "nearest" && with.mode != "linear" && with.mode != "cubic")
    return im.refuse("the mode '" + with.mode + "' is unknown");
  with.nearest = node.getString("nearest_mode", "round_prefer_floor");
  with.coordinates =
      node.getString("coordinate_transformation_mode", "half_pixel");
  with.cubic = node.getFloat("cubic_coeff_a", -0.75);
  with.excludeOutside = node.getInt("exclude_outside", 0);
  with.antialias = node.getInt("antialias", 0);
  return with;
}

static LogicalResult importResize(Importer &im) {
  const Tensor *input = required(im, 0);
  if (!input)
    return failure();
  Tensor x = *input;
  std::map<int64_t, Resizing> resizings;
  if (failed(resizingsOf(im, x, resizings)))
    return failure();
  if (resizings.empty()) {
    im.setOutput(0, std::move(x));
    return success();
  }
  auto with = attributesOf(im);
  if (failed(with))
    return failure();
  bool nearest = with->mode == "nearest";
  if (!nearest && failed(requireFloat(im, x)))
    return failure();
  for (const auto &[axis, r] : resizings) {
    if (with->antialias && r.scale < 1)
      return im.refuse("smoothing (antialias) of a smaller size");
    auto next = nearest ? pickNearest(im, *with, x, axis, r)
                        : interpolate(im, *with, x, axis, r);
    if (failed(next))
      return failure();
    x = std::move(*next);
  }
  im.setOutput(0, std::move(x));
  return success();
}

ArrayRef<OpEntry> joinery::onnx_import::resizeOps() {
  static const OpEntry entries[] = {
      {"", "Resize", 10, 0, importResize,
       "sizes that change must be known, and from opset 11 on"},
  };
  return entries;
}
