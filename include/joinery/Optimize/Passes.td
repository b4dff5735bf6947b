//===- Passes.td - The laws of the algebra as passes -------*- tablegen -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_OPTIMIZE_PASSES_TD
#define JOINERY_OPTIMIZE_PASSES_TD

include "mlir/Pass/PassBase.td"

/// A pass that applies one law to a fixpoint. All take and give modules of
/// functions over relations; what a law adds to that contract, it says.
class Law<string flag> : Pass<flag, "::mlir::ModuleOp"> {
  let dependentDialects = [
    "::joinery::rel::RelDialect", "::mlir::arith::ArithDialect",
    "::mlir::math::MathDialect", "::mlir::func::FuncDialect"
  ];
  let statistics = [
    Statistic<"numRewrites", "num-rewrites", "Number of rewrites">
  ];
}

def ComposeJoins : Law<"rel-compose-joins"> {
  let summary = "Make a join of a join one join";
  let description = [{
    An operand that is a join with the same columns and no other use is
    computed in the region of the join that reads it. Cheap joins (constants, a
    few integer operations on masks and keys) are absorbed wherever they are
    read. A join with more columns does not absorb: its region would repeat what
    the operand computes once.

    ```mlir
    %a = rel.join %x { f }            %b = rel.join %x, %y { g(f(x), y) }
    %b = rel.join %a, %y { g }   ->
    ```

    Afterwards no join has an operand that it may absorb, and no operand whose
    value it does not read, other than keys.
  }];
}

def SimplifyScalars : Law<"rel-simplify-scalars"> {
  let summary = "Give equal scalar expressions one form";
  let description = [{
    In regions: powers and divisions by constants become products, sums and
    products collect their constants (in double, rounded once) and have them
    last, `1/sqrt(x)` is `rsqrt(x)`, a function of one binary value is a select
    between two constants, and a product with a mask is a select. Nothing is
    reassociated that a comparison, a rounding or a cast to an integer reads.

    ```mlir
    %0 = arith.divf %x, %sqrt2        %0 = arith.mulf %x, %rsqrt2
    ```
  }];
}

def PushRekeys : Law<"rel-push-rekeys"> {
  let summary = "Move key maps to the leaves";
  let description = [{
    A rekey of a join, selection, lookup, union or aggregate becomes that
    operator over rekeyed operands, if the rekeys that read the producer ask for
    no more keys together than it has, so that nothing is computed twice. At a
    scan or a range a rename disappears; elsewhere the rekey stays as a view.
    It also stays above an aggregate that several rekeys take rows out of, for a
    contraction of each part is no less work than one of all; and above one whose
    factors would need more keys, for no contraction would be left.

    ```mlir
    %y = rel.aggregate sum %p over [k] : [s, k, n] -> [s, n]
    %h = rel.rekey %y [n = "16 * #h + #d"] : [s, n] -> [s, h, d]
      ->
    %q = rel.rekey %p [n = "16 * #h + #d"] : [s, k, n] -> [s, k, h, d]
    %h = rel.aggregate sum %q over [k] : [s, k, h, d] -> [s, h, d]
    ```

    Rekeys with a default, and rekeys that enlarge, do not move down.
  }];
}

def SplitFolds : Law<"rel-split-folds"> {
  let summary = "Fold the digits of a merged column";
  let description = [{
    Where an aggregate folds c and an operand reads (c floordiv E, c mod E), the
    fold runs over both digits instead, and the merge disappears.

    ```mlir
    %m = rel.rekey %x [h = "#k floordiv 16", d = "#k mod 16"] : [s, h, d] -> [s, k]
    %y = rel.aggregate sum (%m * %w) over [k]
      ->
    %y = rel.aggregate sum (%x * rekey %w [k = "16 * #h + #d"]) over [h, d]
    ```
  }];
}

def FoldConstants : Law<"rel-fold-constants"> {
  let summary = "Make tables of plans over tables alone";
  let description = [{
    A value that depends on tables only is computed in double and rounded once,
    if it is within the limit and not larger than the tables it reads. Values
    without columns become constants. Views of tables stay, and so do functions
    of keys alone that are cheap to compute.
  }];
  let options = [
    Option<"byteLimit", "byte-limit", "int64_t", "1 << 20",
           "Bytes of the greatest table that is folded">
  ];
}

def SimplifyLookups : Law<"rel-simplify-lookups"> {
  let summary = "Make lookups by keys rekeys";
  let description = [{
    A lookup whose index is an expression over keys, proved to be in range, is a
    rekey. A lookup in a join looks its operands up; those that lack the column
    do not need the index.

    ```mlir
    %m = rel.lookup %mask[t = %range]   ->   %m = rel.rekey %mask [t = "#s"]
    ```
  }];
}

def TabulateDifferences : Law<"rel-tabulate-differences"> {
  let summary = "Make functions of t - s tables over one key";
  let description = [{
    A join that reads two keys only as their difference, and is looked up with
    or expensive, is computed once per difference and read at t - s + S - 1. The
    rekey moves to the root past operators whose other operands lack s and t.
  }];
}

def CollectScales : Law<"rel-collect-scales"> {
  let summary = "Move constant factors out of contractions";
  let description = [{
    `Σ (c1·x)·(c2·y)` is `c1·c2·Σ x·y`: scales on q, on k, roots on both and a
    scale of the scores are one factor on the scores.
  }];
}

def FoldScales : Law<"rel-fold-scales"> {
  let summary = "Move constant factors of contractions into tables";
  let description = [{
    `c·Σ x·W` is `Σ x·(c·W)` for a table W: the factor is computed once, when
    the table is stored. A contraction without a table keeps its factor.

    ```mlir
    %y = rel.aggregate sum (%x * %w) over [k]
    %z = rel.join %y, %b { 0.5 * y + b }
      ->
    %y = rel.aggregate sum (%x * rel.join %w { 0.5 * w }) over [k]
    %z = rel.join %y, %b { y + b }
    ```
  }];
}

def StreamSoftmax : Law<"rel-stream-softmax"> {
  let summary = "Make softmax and weighted sum one streaming aggregate";
  let description = [{
    `Σ_t exp(s - max_t s) / Σ_t exp(s - max_t s) · v` is
    `softmax_sum(s, v) over t`, if the weights have no other use. The guard that
    makes NaN weights zero goes, too: softmax_sum of no key is zero. A softmax
    without a weighted sum stays.
  }];
}

def DropShifts : Law<"rel-drop-shifts"> {
  let summary = "Drop what shifts all scores of a softmax alike";
  let description = [{
    `softmax_sum(s + c, v) over t` is `softmax_sum(s, v) over t` if c lacks t: a
    maximum that an exporter subtracts for safety, or a bias for each query.
    Selections with default -inf may lie between. The scores must have no other
    use, no product or other function may hide c, and no constant may have taken
    the place of scores (`fills`): it does not shift with them.
  }];
}

def DropRoundTrips : Law<"rel-drop-round-trips"> {
  let summary = "Keep whole numbers as floats";
  let description = [{
    `float(int(x))` is x where x is a whole number: what was rounded, and sums and
    products of such, through joins and folds. The conversion first moves into the
    choices that saturate it, `float(select(c, k, int(x))) = select(c, float(k),
    float(int(x)))`. A zero may keep its sign. So levels that are read again where
    they are made (a pair of QuantizeLinear and DequantizeLinear, a product of
    integers that becomes a float) cost no conversions.
  }];
}

def SelectMasks : Law<"rel-select-masks"> {
  let summary = "Make additive masks selections";
  let description = [{
    In the scores of a softmax_sum, `x + select(m, 0, c)` and `select(m, x, c)`
    with c ≤ -1e4 become `rel.select x where m else -inf`; a conjunction becomes
    several selections. An integer input that is used as a mask in arithmetic is
    assumed to be 0 or 1 and marked `rel.binary`, which the border checks. The
    softmax_sum keeps a c that is no -inf and no lowest number of a type as its
    `mask`, for the run to check.
  }];
  let options = [
    Option<"keepFinite", "keep-finite", "bool", "false",
           "Leave masks alone whose constant is finite (padding=keep)">
  ];
}

def MergeEqualPlans : Pass<"rel-merge-equal-plans", "::mlir::ModuleOp"> {
  let summary = "Make equal tables and equal subplans one";
  let description = [{
    Tables with equal contents become one table, operations with equal operands
    one operation.
  }];
  let statistics = [
    Statistic<"numMerged", "num-merged", "Number of operations that left">
  ];
}

def MergeJoins : Pass<"rel-merge-joins", "::mlir::ModuleOp"> {
  let summary = "Make contractions of one operand one contraction";
  let description = [{
    `Σ_k x·W1 (+ b1)` and `Σ_k x·W2 (+ b2)` with constant W, b become one
    contraction with `union(W1, W2)`, of which they are slices. A choice of the
    planner, not part of the normal form.
  }];
  let dependentDialects = [
    "::joinery::rel::RelDialect", "::mlir::arith::ArithDialect"
  ];
  let statistics = [
    Statistic<"numMerged", "num-merged", "Number of contractions that left">
  ];
}

def WidenHalves : Pass<"rel-widen-halves", "::mlir::ModuleOp"> {
  let summary = "Compute in f32 what a model computes in f16 or bf16";
  let description = [{
    Tables, arguments and results keep their types; they are widened where they
    are read and narrowed where they are returned. Between them every relation
    and scalar of 16-bit floats becomes f32, and casts to 16 bits vanish with
    their rounding. This is a policy (rounding=drop) and no law: results differ
    from those of a runtime that rounds after each node, by those roundings.
    Expects modules before `rel-optimize`, in one function or several that do
    not call each other.
  }];
  let dependentDialects = ["::joinery::rel::RelDialect",
                           "::mlir::arith::ArithDialect"];
  let options = [
    Option<"keep", "keep", "bool", "false",
           "Widen nothing; refuse models that compute in bf16">
  ];
  let statistics = [
    Statistic<"numWidened", "num-widened", "Number of relations that were 16-bit floats">
  ];
}

def SelectOutputs : Pass<"rel-select-outputs", "::mlir::ModuleOp"> {
  let summary = "Make rows that the mask drops zero in the outputs";
  let description = [{
    An output with the columns of a mask that selects the keys of a softmax_sum
    or of a masked sum is selected by that mask; an output with its batch column
    only, by whether the mask keeps any key. A sum of products with the mask is
    the sum of what it keeps. Masks are arguments that the laws
    have found to be used so; they are marked `rel.binary`.
  }];
  let dependentDialects = ["::joinery::rel::RelDialect",
                           "::mlir::arith::ArithDialect"];
  let statistics = [
    Statistic<"numSelected", "num-selected", "Number of outputs selected">
  ];
}

def OutlineLayers : Pass<"rel-outline-layers", "::mlir::ModuleOp"> {
  let summary = "Make equal layers one function";
  let description = [{
    Where a chain of values, each of which all that is computed before it passes
    through, repeats, the repeated part becomes a private function that is
    called with the value before it, with conditions and with tables: layers
    are equal up to names, orders, what they scan and their mask. The function
    is in canonical form: the order of its operations, of the operands of joins
    and of the terms of sums and products, and the names of its columns, depend
    on its structure alone, so that layers of two models that are equal print
    equally. The constants of masks are not part of it: calls have those of the
    layer's softmax_sums, in order, as `rel.masks`.

    ```mlir
    %y = rel.join %x, %w0 ...        %y = call @layer(%x, %m, %w0)
    %z = rel.join %y, %w1 ...   ->   %z = call @layer(%y, %m, %w1)
    ```

    Run on plans in normal form, after the laws. With `parts`, each part of a
    chain that multiplies relations is a function by itself, also one that
    occurs once: to compare plans whose last layer is another one, because an
    output reads its first token only.
  }];
  let dependentDialects = [
    "::joinery::rel::RelDialect", "::mlir::arith::ArithDialect",
    "::mlir::math::MathDialect", "::mlir::func::FuncDialect"
  ];
  let options = [
    Option<"parts", "parts", "bool", "false",
           "Make each part of a layer a function, repeated or not">
  ];
  let statistics = [
    Statistic<"numLayerFunctions", "num-layer-functions", "Number of functions">,
    Statistic<"numCalls", "num-calls", "Number of layers that are calls">
  ];
}

def InlineLayers : Pass<"rel-inline-layers", "::mlir::ModuleOp"> {
  let summary = "Make calls of layers part of the plan again";
  let description = [{
    The reverse of `rel-outline-layers`: what follows the laws reads one plan.
    Softmax_sums get the masks of the call. Calls in layers stay.
  }];
  let dependentDialects = ["::joinery::rel::RelDialect"];
  let statistics = [
    Statistic<"numInlined", "num-inlined", "Number of calls">
  ];
}

def PushSelections : Pass<"rel-push-selections", "::mlir::ModuleOp"> {
  let summary = "Compute the keys that a mask keeps, and no others";
  let description = [{
    Demand analysis: where only the keys that a selection keeps are read of a
    value, `pack(f(x)) = f(pack(x))` replaces the columns of the mask by one
    column of packed rows. Operators that relate rows with each other read an
    unpacked view. Values that are read elsewhere as well (an output that shows
    dropped rows, a convolution, a statistic over the tensor) stay as they are.

    ```mlir
    %y = rel.join %x { ... }      // [b, s, h], read where %mask only
    // ->
    %rank = rel.rank %mask over [b, s]
    %rows = rel.enumerate %rank
    %p = rel.pack %x by %rows over [b, s] sizes ["?b", "?s"]
    %y = rel.join %p { ... }      // [r, h]
    ```
  }];
  let dependentDialects = ["::joinery::rel::RelDialect",
                           "::mlir::arith::ArithDialect"];
  let statistics = [
    Statistic<"numPacked", "num-packed", "Number of operations on packed rows">
  ];
}

def Optimize : Pass<"rel-optimize", "::mlir::ModuleOp"> {
  let summary = "Apply all laws to a fixpoint";
  let description = [{
    The driver: gives the normal form of a plan. Merging joins and selecting
    outputs are not part of it.
  }];
  let dependentDialects = [
    "::joinery::rel::RelDialect", "::mlir::arith::ArithDialect",
    "::mlir::math::MathDialect", "::mlir::func::FuncDialect"
  ];
  let options = [
    Option<"byteLimit", "byte-limit", "int64_t", "1 << 20",
           "Bytes of the greatest table that is folded">,
    Option<"keepFinite", "keep-finite", "bool", "false",
           "Leave masks alone whose constant is finite (padding=keep)">
  ];
  let statistics = [
    Statistic<"numRewrites", "num-rewrites", "Number of rewrites">,
    Statistic<"numRounds", "num-rounds", "Number of rounds">
  ];
}

#endif
