// RUN: joinery-opt --split-input-file --plan %s | FileCheck %s

!x = !rel.rel<[b: ?B, s: "2 * ?T + 1", c: 32] x f32>
!v = !rel.rel<[b: ?B, c: 32, t: ?T, w: 3] x f32>
!w = !rel.rel<[k: 48, c: 32, w: 3] x f32>
!p = !rel.rel<[b: ?B, c: 32, t: ?T, w: 3, k: 48] x f32>
!y = !rel.rel<[b: ?B, t: ?T, k: 48] x f32>

rel.table @w : !w from "m.onnx" at 0 length 18432

// Tests that windows which overlap are read where they are, in several batch
// rows: the panels fold the columns in the order in which they lie there.
// CHECK-LABEL: func.func @main
// CHECK-NOT: by "rows"
// CHECK: rel.materialize %{{.+}} by "table" : {{.+}} -> <[w: 3, c: 32, j: 48] x f32, ["j/48", "w", "c", "j%48"]>
// CHECK: rel.materialize %{{.+}} by "contraction"
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "2 * ?T + 1", "32"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "?T", "48"], rel.dims = [["b"], ["t"], ["k"]]}) {
  %w = rel.scan @w : !w
  %v = rel.rekey %x [s = "2 * #t + #w"] : !x -> !v
  %p = rel.join %v, %w : (!v, !w) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [c, w] : (!p) -> !y
  return %y : !y
}

// -----

!x = !rel.rel<[b: ?B, s: ?S, c: 32] x f32>
!st = !rel.rel<[b: ?B, c: 32] x f32>
!w = !rel.rel<[k: 48, c: 32] x f32>
!p = !rel.rel<[b: ?B, s: ?S, c: 32, k: 48] x f32>
!y = !rel.rel<[b: ?B, s: ?S, k: 48] x f32>

rel.table @w : !w from "m.onnx" at 0 length 6144

// Tests that a statistic over the positions of each channel is stored: what a
// contraction reads lies channel by channel, and each position would compute it.
// CHECK-LABEL: func.func @main
// CHECK: rel.aggregate sum %arg0 over [s]
// CHECK: %[[SUM:.+]] = rel.materialize %{{.+}} by "rows" : <[b: ?B, c: 32] x f32> -> <[b: ?B, c: 32] x f32, ["b", "c"]>
// CHECK: rel.join %arg0, %[[SUM]]
// CHECK: rel.materialize %{{.+}} by "rows" : <[b: ?B, s: ?S, c: 32] x f32> -> <[b: ?B, s: ?S, c: 32] x f32, ["b", "s", "c"]>
// CHECK: rel.materialize %{{.+}} by "contraction"
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "?S", "32"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "?S", "48"], rel.dims = [["b"], ["s"], ["k"]]}) {
  %w = rel.scan @w : !w
  %sum = rel.aggregate sum %x over [s] : (!x) -> !st
  %n = rel.join %x, %sum : (!x, !st) -> !x {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.divf %a, %b : f32
    %1 = math.erf %0 : f32
    rel.yield %1 : f32
  }
  %p = rel.join %n, %w : (!x, !w) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [c] : (!p) -> !y
  return %y : !y
}

// -----

!x = !rel.rel<[s: "?T + 2", g: 32] x f32>
!v = !rel.rel<[t: ?T, g: 32, w: 3] x f32>
!w = !rel.rel<[g: 32, w: 3] x f32>
!y = !rel.rel<[t: ?T, g: 32] x f32>

rel.table @w : !w from "m.onnx" at 0 length 384

// Tests that a table is stored along the column that its reader's vectors take.
// CHECK-LABEL: func.func @main
// CHECK: rel.materialize %{{.+}} by "table" : <[g: 32, w: 3] x f32> -> <[g: 32, w: 3] x f32, ["w", "g"]>
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?T + 2", "32"]})
    -> (!y {rel.name = "y", rel.shape = ["?T", "32"], rel.dims = [["t"], ["g"]]}) {
  %w = rel.scan @w : !w
  %v = rel.rekey %x [s = "#t + #w"] : !x -> !v
  %p = rel.join %v, %w : (!v, !w) -> !v {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [w] : (!v) -> !y
  return %y : !y
}

// -----

!x = !rel.rel<[b: ?B, h: 28, w: 28, c: 32] x f32>
!v = !rel.rel<[b: ?B, h: 28, w: 28, c: 32, i: 3, j: 3] x f32>
!w = !rel.rel<[k: 48, c: 32, i: 3, j: 3] x f32>
!p = !rel.rel<[b: ?B, h: 28, w: 28, c: 32, i: 3, j: 3, k: 48] x f32>
!y = !rel.rel<[b: ?B, h: 28, w: 28, k: 48] x f32>

rel.table @w : !w from "m.onnx" at 0 length 55296

// Tests that windows beyond the ends are read from a copy with borders, each row
// of a window as a run of its own.
// CHECK-LABEL: func.func @main
// CHECK: %[[X:.+]] = rel.rekey %arg0 [h = "#i - 1", w = "#j - 1"] else 0.0
// CHECK: %[[BORDERED:.+]] = rel.materialize %[[X]] by "rows" : {{.+}} -> <[b: ?B, i: 30, j: 30, c: 32] x f32, ["b", "i", "j", "c"]>
// CHECK: rel.rekey %[[BORDERED]] [i = "#h + #i", j = "#j + #w"] :
// CHECK: rel.materialize %{{.+}} by "table" : {{.+}} -> <[i: 3, j: 3, c: 32, j0: 48] x f32, ["j0/48", "i", "j", "c", "j0%48"]>
// CHECK: rel.materialize %{{.+}} by "contraction" {{.*}}slice = 96
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "28", "28", "32"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "28", "28", "48"], rel.dims = [["b"], ["h"], ["w"], ["k"]]}) {
  %w = rel.scan @w : !w
  %v = rel.rekey %x [h = "#h + #i - 1", w = "#w + #j - 1"] else 0.0 : f32 : !x -> !v
  %p = rel.join %v, %w : (!v, !w) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [c, i, j] : (!p) -> !y
  return %y : !y
}

// -----

!x = !rel.rel<[b: ?B, g: 4, c: 12, s: ?S] x f32>
!v = !rel.rel<[b: ?B, g: 4, c: 12, s: ?S, w: 16] x f32>
!w = !rel.rel<[g: 4, k: 12, c: 12, w: 16] x f32>
!p = !rel.rel<[b: ?B, g: 4, c: 12, s: ?S, w: 16, k: 12] x f32>
!y = !rel.rel<[b: ?B, s: ?S, g: 4, k: 12] x f32>

rel.table @w : !w from "m.onnx" at 0 length 36864

// Tests that a convolution in groups reads its windows where they are, too.
// CHECK-LABEL: func.func @main
// CHECK: rel.materialize %{{.+}} by "rows" : {{.+}} -> <[b: ?B, g: 4, c: 12, w: "?S + 15"] x f32, ["b", "g", "c", "w"]>
// CHECK-NOT: by "rows"
// CHECK: rel.materialize %{{.+}} by "table" : <[g: 4, k: 12, c: 12, w: 16] x f32> -> <[g: 4, k: 12, c: 12, w: 16] x f32, ["g", "k", "c", "w"]>
// CHECK: rel.materialize %{{.+}} by "product"
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "4", "12", "?S"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "?S", "4", "12"], rel.dims = [["b"], ["s"], ["g"], ["k"]]}) {
  %w = rel.scan @w : !w
  %v = rel.rekey %x [s = "#s + #w - 8"] else 0.0 : f32 : !x -> !v
  %p = rel.join %v, %w : (!v, !w) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [c, w] : (!p) -> !y
  return %y : !y
}
