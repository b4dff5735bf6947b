//===- Building.h - Expressions for the operator importers ------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the operator files have in common: attributes with defaults, elements as
// values with operators, and the few relational forms (product, mean, softmax,
// normalisation, windows) that most operators are made of. Fused and decomposed
// exports of one model meet here, so that they import to the same algebra.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_IMPORT_ONNX_BUILDING_H
#define JOINERY_LIB_IMPORT_ONNX_BUILDING_H

#include "Graph.h"
#include "Importer.h"

namespace joinery::onnx_import {

//===----------------------------------------------------------------------===//
// Tables of the files that a category consists of
//===----------------------------------------------------------------------===//

llvm::ArrayRef<OpEntry> activationOps();       // Activations.cpp
llvm::ArrayRef<OpEntry> compareOps();          // Compare.cpp
llvm::ArrayRef<OpEntry> poolingOps();          // Pooling.cpp
llvm::ArrayRef<OpEntry> topKOps();             // TopK.cpp
llvm::ArrayRef<OpEntry> einsumOps();           // Einsum.cpp
llvm::ArrayRef<OpEntry> convolutionOps();      // Convolution.cpp
llvm::ArrayRef<OpEntry> fourierOps();          // Fourier.cpp
llvm::ArrayRef<OpEntry> attentionContribOps(); // AttentionContrib.cpp
llvm::ArrayRef<OpEntry> rotaryOps();           // Rotary.cpp
llvm::ArrayRef<OpEntry> quantizationContribOps(); // QuantizationContrib.cpp
std::vector<OpEntry>
concat(std::initializer_list<llvm::ArrayRef<OpEntry>> tables);

//===----------------------------------------------------------------------===//
// The current node
//===----------------------------------------------------------------------===//

/// Input `i`, which must be there; refuses and returns null if it is not.
const Tensor *required(Importer &im, unsigned i);
/// Input `i`, which must be there and hold floats.
const Tensor *requiredFloat(Importer &im, unsigned i);
/// Refuses by name the first of `indices` that is present.
mlir::LogicalResult
refuseInputs(Importer &im,
             llvm::ArrayRef<std::pair<unsigned, llvm::StringRef>> indices);
mlir::LogicalResult
refuseOutputs(Importer &im,
              llvm::ArrayRef<std::pair<unsigned, llvm::StringRef>> indices);
/// Refuses a tensor of another rank.
mlir::LogicalResult requireRank(Importer &im, const Tensor &tensor,
                                int64_t rank, llvm::StringRef what);
/// Refuses a scalar, which has no axis.
mlir::LogicalResult requireAxes(Importer &im, const Tensor &tensor);
/// Before opset 7 an attribute could align the second operand elsewhere than at
/// the end.
mlir::LogicalResult refuseOldBroadcast(Importer &im);
mlir::LogicalResult setResult(Importer &im, mlir::FailureOr<Tensor> result,
                              unsigned i = 0);
/// Refuses elements other than floats.
mlir::LogicalResult requireFloat(Importer &im, const Tensor &tensor);

//===----------------------------------------------------------------------===//
// Elements: values of a scalar region with operators
//===----------------------------------------------------------------------===//

/// One scalar of a join's region. Arithmetic is chosen by its type; integers
/// are signed unless a function says otherwise. Doubles become constants of the
/// other operand's type.
class Element {
public:
  Element(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value value)
      : builder(&builder), loc(loc), value(value) {}
  mlir::Type type() const { return value.getType(); }
  bool isFloat() const { return mlir::isa<mlir::FloatType>(type()); }
  Element with(mlir::Value v) const { return Element(*builder, loc, v); }
  Element constant(double v) const { return constant(type(), v); }
  Element constant(mlir::Type type, double v) const;
  Element integer(mlir::Type type, int64_t v) const;
  template <class Op, class... Args> Element op(Args... args) const {
    return with(Op::create(*builder, loc, args...).getResult());
  }
  /// This i1 chooses.
  Element select(Element a, Element b) const;

  mlir::OpBuilder *builder;
  mlir::Location loc;
  mlir::Value value;
};

Element operator+(Element a, Element b);
Element operator-(Element a, Element b);
Element operator*(Element a, Element b);
Element operator/(Element a, Element b);
Element operator-(Element a);
inline Element operator+(Element a, double b) { return a + a.constant(b); }
inline Element operator-(Element a, double b) { return a - a.constant(b); }
inline Element operator*(Element a, double b) { return a * a.constant(b); }
inline Element operator/(Element a, double b) { return a / a.constant(b); }
inline Element operator+(double a, Element b) { return b.constant(a) + b; }
inline Element operator-(double a, Element b) { return b.constant(a) - b; }
inline Element operator*(double a, Element b) { return b.constant(a) * b; }
inline Element operator/(double a, Element b) { return b.constant(a) / b; }
/// Ordered comparisons; `less` and its kin are signed.
Element less(Element a, Element b);
Element lessEqual(Element a, Element b);
Element equal(Element a, Element b);
Element maximum(Element a, Element b); // NaN wins
Element minimum(Element a, Element b);
Element exp(Element a);
Element log(Element a);
Element sqrt(Element a);
Element erf(Element a);
Element tanh(Element a);
Element abs(Element a);
Element sigmoid(Element a);
/// x/2 (1 + erf(x/sqrt 2)), and its tanh approximation.
Element gelu(Element x);
Element geluTanh(Element x);
/// x, or slope * x where it is less than 0.
Element leakyRelu(Element x, double slope);
/// ONNX Cast between the types of one element.
Element castElement(Element a, int from, int to, mlir::Type type);

using Elements = llvm::ArrayRef<Element>;
using Body = llvm::function_ref<Element(Elements)>;
/// Importer::map with Elements.
mlir::FailureOr<Tensor> mapElements(Importer &im,
                                    llvm::ArrayRef<const Tensor *> operands,
                                    int onnxType, Body body);
mlir::FailureOr<Tensor> mapUnary(Importer &im, const Tensor &x, int onnxType,
                                 llvm::function_ref<Element(Element)> body);
mlir::FailureOr<Tensor>
mapBinary(Importer &im, const Tensor &x, const Tensor &y, int onnxType,
          llvm::function_ref<Element(Element, Element)> body);
/// x + y in the type of x.
mlir::FailureOr<Tensor> add(Importer &im, const Tensor &x, const Tensor &y);
/// rel.join of relations whose columns already match.
mlir::Value joinValues(Importer &im, mlir::ValueRange inputs,
                       mlir::Type elementType, Body body);
/// The keys of a column, an i64 relation of it alone.
mlir::Value keysOf(Importer &im, const std::string &column,
                   const SymExpr &extent);
/// The sum over `column` of `values` where `kept` holds.
mlir::Value sumWhere(Importer &im, mlir::Value values, mlir::Value kept,
                     llvm::StringRef column);
mlir::FailureOr<Tensor> castTensor(Importer &im, const Tensor &x, int to);

//===----------------------------------------------------------------------===//
// Views
//===----------------------------------------------------------------------===//

/// A tensor with the same view and another relation.
Tensor withRelation(const Tensor &like, mlir::Value relation, int onnxType);
/// Dimension `i` of extent 1.
Tensor insertUnitDim(Importer &im, const Tensor &x, unsigned i);
Tensor permuteDims(Importer &im, const Tensor &x,
                   llvm::ArrayRef<unsigned> order);
/// Dimension `i` as just one column even if the relation is constant along it.
Tensor withColumn(Importer &im, const Tensor &x, unsigned i);
/// Dimension `i` as several dimensions of the given extents, the slowest first.
mlir::FailureOr<Tensor> splitDim(Importer &im, const Tensor &x, unsigned i,
                                 llvm::ArrayRef<SymExpr> extents,
                                 llvm::ArrayRef<llvm::StringRef> hints);
/// Dimensions i and i+1 as one.
Tensor mergeDims(Importer &im, const Tensor &x, unsigned i);
/// Keys [start, start + extent) of dimension `i`.
Tensor sliceDim(Importer &im, const Tensor &x, unsigned i, const SymExpr &start,
                const SymExpr &extent);
/// Concatenation along dimension `i`; the other dimensions are aligned.
mlir::FailureOr<Tensor>
concatDims(Importer &im, llvm::ArrayRef<const Tensor *> parts, unsigned i);
/// table[index, ...]: the table's first dimension is replaced by the
/// dimensions of the index.
mlir::FailureOr<Tensor> lookupRows(Importer &im, const Tensor &table,
                                   const Tensor &index);
/// The keys 0, 1, ... of a fresh dimension, as i64.
Tensor keyOf(Importer &im, const SymExpr &extent, llvm::StringRef hint);
/// rel.rekey: `map` gives the source keys; columns that it does not name stay.
/// The result's columns are those of `columns` that the source keys use.
mlir::Value rekey(Importer &im, mlir::Value input,
                  const std::map<std::string, SymExpr> &map,
                  llvm::ArrayRef<rel::Column> columns,
                  mlir::TypedAttr otherwise = {});
/// Sliding windows over one spatial dimension.
struct Window {
  SymExpr output, pad, padEnd;
  int64_t kernel, stride, dilation;
  bool inside; // never over the border
};
/// The windows over the dimensions of `x` from 2 on, by the node's strides,
/// pads, auto_pad, dilations and ceil_mode.
mlir::FailureOr<llvm::SmallVector<Window>>
windowsOf(Importer &im, const Tensor &x, llvm::ArrayRef<int64_t> kernel);
/// All windows: [B, C, D...] becomes [B, C, output..., kernel...].
Tensor applyWindows(Importer &im, const Tensor &x,
                    llvm::ArrayRef<Window> windows, double otherwise);

//===----------------------------------------------------------------------===//
// Relational forms
//===----------------------------------------------------------------------===//

/// sum over the labels that `result` lacks of a*b (or of a), with one label per
/// dimension. Equal labels are joined; `broadcasts` are the labels whose static
/// extent may be 1 on one side.
mlir::FailureOr<Tensor> product(Importer &im, const Tensor &a,
                                llvm::ArrayRef<int> labelsA, const Tensor *b,
                                llvm::ArrayRef<int> labelsB,
                                llvm::ArrayRef<int> result,
                                llvm::ArrayRef<int> broadcasts = {});
mlir::FailureOr<Tensor> matmul(Importer &im, const Tensor &a, const Tensor &b);
/// The two last dimensions exchanged if the node's `attribute` says so.
mlir::FailureOr<Tensor> transposed(Importer &im, const Tensor &x,
                                   llvm::StringRef attribute);
/// The convolution of x [B, C, D...] and w [M, C/groups, kernel...] by the node's
/// attributes, plus `bias` [M] if there is one.
mlir::FailureOr<Tensor> convolve(Importer &im, const Tensor &x, const Tensor &w,
                                 const Tensor *bias);
/// The product of the extents of `axes`.
SymExpr extentOf(const Tensor &x, llvm::ArrayRef<int64_t> axes);
mlir::FailureOr<Tensor> mean(Importer &im, const Tensor &x,
                             llvm::ArrayRef<int64_t> axes, bool keepDims);
mlir::FailureOr<Tensor> divideByExtent(Importer &im, const Tensor &x,
                                       const SymExpr &extent);
/// exp(x - max) / sum over `axes`, or its logarithm.
mlir::FailureOr<Tensor> softmax(Importer &im, const Tensor &x,
                                llvm::ArrayRef<int64_t> axes, bool logarithm);
/// (x - mean)/sqrt(var + eps) over `axes`; without `centre` x/sqrt(mean x^2 +
/// eps). All with extent 1 on the axes but `y`.
struct Normalized {
  Tensor y, mean, inverse;
};
mlir::FailureOr<Normalized> normalize(Importer &im, const Tensor &x,
                                      llvm::ArrayRef<int64_t> axes, double eps,
                                      bool centre);
/// y * gamma + beta in the type of `onnxType`; both may be null.
mlir::FailureOr<Tensor> scaleAndShift(Importer &im, const Tensor &y,
                                      const Tensor *gamma, const Tensor *beta,
                                      int onnxType);

/// The operands of EmbedLayerNormalization; the last three may be null, and the
/// segments. All of rank 2 but gamma and beta.
struct EmbeddingInputs {
  const Tensor *ids = nullptr, *segments = nullptr, *words = nullptr,
               *positions = nullptr, *segmentTable = nullptr, *gamma = nullptr,
               *beta = nullptr, *mask = nullptr, *positionIds = nullptr;
};
/// The node's outputs; refused if a table is missing.
mlir::LogicalResult embed(Importer &im, const EmbeddingInputs &inputs);

//===----------------------------------------------------------------------===//
// Levels (Quantization.cpp)
//===----------------------------------------------------------------------===//

/// A scale or zero point as an operand of `x`: one number, or one for each key of
/// the node's axis.
mlir::FailureOr<Tensor> alongAxis(Importer &im, const Tensor &x,
                                  const Tensor &parameter, llvm::StringRef what);
/// levels - zero as floats; without a zero point it is 0.
mlir::FailureOr<Tensor> centre(Importer &im, const Tensor &levels,
                               const Tensor *zero);
/// (levels - zero) * scale in the type of the scale.
mlir::FailureOr<Tensor> dequantize(Importer &im, const Tensor &levels,
                                   const Tensor &scale, const Tensor *zero);
/// The levels of type `type` nearest to x / scale + zero.
mlir::FailureOr<Tensor> quantize(Importer &im, const Tensor &x,
                                 const Tensor &scale, const Tensor *zero,
                                 int type);
/// The 256 levels of a byte over the range of the whole tensor, which 0 is in.
struct DynamicLevels {
  Tensor levels, scale, zero;
};
mlir::FailureOr<DynamicLevels> quantizeDynamically(Importer &im, const Tensor &x);

} // namespace joinery::onnx_import

#endif // JOINERY_LIB_IMPORT_ONNX_BUILDING_H
