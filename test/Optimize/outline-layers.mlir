// RUN: joinery-opt %s --rel-outline-layers --split-input-file | FileCheck %s
// RUN: joinery-opt %s --rel-outline-layers=parts --split-input-file | FileCheck %s --check-prefix=PARTS

// Tests that layers that are equal up to names, orders of operands and tables
// are one function, which is called with the input, the mask and the weights.
// CHECK-LABEL: func.func private @layer(
// CHECK-SAME: !rel.rel<[c0: ?S, [[K:c[12]]]: 4] x f32>,
// CHECK-SAME: %[[M:[a-z0-9]+]]: !rel.rel<[c0: ?S] x i1>,
// CHECK-SAME: !rel.rel<[c1: 4, c2: 4] x f32>)
// CHECK: rel.join
// CHECK: rel.aggregate sum %{{.+}} over {{.}}[[K]]]
// CHECK: rel.join
// CHECK: arith.addf
// CHECK: %[[Z:.+]] = rel.select %{{.+}} where %[[M]] else 0.000000e+00
// CHECK: return %[[Z]]
// CHECK-LABEL: func.func @main
// CHECK-DAG: %[[W:.+]] = rel.scan @w : <[{{c1: 4, c2: 4|c2: 4, c1: 4}}] x f32>
// CHECK-DAG: %[[A:.+]] = call @layer(
// CHECK: %[[V:.+]] = rel.scan @v : <[{{c1: 4, c2: 4|c2: 4, c1: 4}}] x f32>
// CHECK: call @layer(
// CHECK-NOT: call
// CHECK: return
rel.table @w : !rel.rel<[k: 4, n: 4] x f32> = dense<0.5> : tensor<16xf32>
rel.table @v : !rel.rel<[n: 4, k: 4] x f32> = dense<0.25> : tensor<16xf32>
func.func @main(%x: !rel.rel<[s: ?S, h: 4] x f32>, %m: !rel.rel<[s: ?S] x i64>) -> !rel.rel<[s: ?S, h: 4] x f32> {
  %p = rel.join %m : (!rel.rel<[s: ?S] x i64>) -> !rel.rel<[s: ?S] x i1> {
  ^bb0(%a: i64):
    %0 = arith.constant 0 : i64
    %1 = arith.cmpi ne, %a, %0 : i64
    rel.yield %1 : i1
  }
  %w = rel.scan @w : !rel.rel<[h: 4, n: 4] x f32>
  %j = rel.join %x, %w : (!rel.rel<[s: ?S, h: 4] x f32>, !rel.rel<[h: 4, n: 4] x f32>) -> !rel.rel<[s: ?S, h: 4, n: 4] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %j over [h] : (!rel.rel<[s: ?S, h: 4, n: 4] x f32>) -> !rel.rel<[s: ?S, n: 4] x f32>
  %r = rel.rekey %x [h = "#n"] : !rel.rel<[s: ?S, h: 4] x f32> -> !rel.rel<[s: ?S, n: 4] x f32>
  %a = rel.join %y, %r : (!rel.rel<[s: ?S, n: 4] x f32>, !rel.rel<[s: ?S, n: 4] x f32>) -> !rel.rel<[s: ?S, n: 4] x f32> {
  ^bb0(%b: f32, %c: f32):
    %0 = arith.addf %b, %c : f32
    rel.yield %0 : f32
  }
  %z = rel.select %a where %p else 0.0 : f32 : (!rel.rel<[s: ?S, n: 4] x f32>, !rel.rel<[s: ?S] x i1>) -> !rel.rel<[s: ?S, n: 4] x f32>
  %v = rel.scan @v : !rel.rel<[h: 4, n: 4] x f32>
  %j1 = rel.join %v, %z : (!rel.rel<[h: 4, n: 4] x f32>, !rel.rel<[s: ?S, n: 4] x f32>) -> !rel.rel<[s: ?S, h: 4, n: 4] x f32> {
  ^bb0(%b: f32, %c: f32):
    %0 = arith.mulf %c, %b : f32
    rel.yield %0 : f32
  }
  %y1 = rel.aggregate sum %j1 over [n] : (!rel.rel<[s: ?S, h: 4, n: 4] x f32>) -> !rel.rel<[s: ?S, h: 4] x f32>
  %y2 = rel.rekey %y1 [h = "#n"] : !rel.rel<[s: ?S, h: 4] x f32> -> !rel.rel<[s: ?S, n: 4] x f32>
  %a1 = rel.join %z, %y2 : (!rel.rel<[s: ?S, n: 4] x f32>, !rel.rel<[s: ?S, n: 4] x f32>) -> !rel.rel<[s: ?S, n: 4] x f32> {
  ^bb0(%b: f32, %c: f32):
    %0 = arith.addf %b, %c : f32
    rel.yield %0 : f32
  }
  %z1 = rel.select %a1 where %p else 0.0 : f32 : (!rel.rel<[s: ?S, n: 4] x f32>, !rel.rel<[s: ?S] x i1>) -> !rel.rel<[s: ?S, n: 4] x f32>
  %o = rel.rekey %z1 [n = "#h"] : !rel.rel<[s: ?S, n: 4] x f32> -> !rel.rel<[s: ?S, h: 4] x f32>
  return %o : !rel.rel<[s: ?S, h: 4] x f32>
}

// -----

// Tests that a part is no layer if a value inside it is an output, or if the
// scalars differ; and that a part that occurs once is a function on demand.
// CHECK-LABEL: func.func @main
// CHECK-NOT: call
// CHECK: return
// PARTS-LABEL: func.func private @layer(
// PARTS: math.tanh
// PARTS-LABEL: func.func private @layer_1(
// PARTS: math.exp
// PARTS-LABEL: func.func @main
rel.table @w : !rel.rel<[k: 4, n: 4] x f32> = dense<0.5> : tensor<16xf32>
!x = !rel.rel<[s: ?S, h: 4] x f32>
!y = !rel.rel<[s: ?S, n: 4] x f32>
!w = !rel.rel<[h: 4, n: 4] x f32>
!p = !rel.rel<[s: ?S, h: 4, n: 4] x f32>
func.func @main(%x: !x) -> (!y, !x) {
  %w = rel.scan @w : !w
  %j = rel.join %x, %w : (!x, !w) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %j over [h] : (!p) -> !y
  %r = rel.rekey %x [h = "#n"] : !x -> !y
  %e = rel.join %y, %r : (!y, !y) -> !y {
  ^bb0(%a: f32, %b: f32):
    %0 = math.tanh %a : f32
    %1 = arith.addf %0, %b : f32
    rel.yield %1 : f32
  }
  %j1 = rel.join %e, %w : (!y, !w) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y1 = rel.aggregate sum %j1 over [n] : (!p) -> !x
  %r1 = rel.rekey %e [n = "#h"] : !y -> !x
  %e1 = rel.join %y1, %r1 : (!x, !x) -> !x {
  ^bb0(%a: f32, %b: f32):
    %0 = math.exp %a : f32
    %1 = arith.addf %0, %b : f32
    rel.yield %1 : f32
  }
  return %e, %e1 : !y, !x
}

// -----

// Tests that layers whose masks have other constants, or -inf, are one function.
// CHECK-LABEL: func.func private @layer(
// CHECK: softmax_sum
// CHECK-NOT: mask =
// CHECK-LABEL: func.func @main
// CHECK: call @layer({{.*}} {rel.masks = [{mask = -1.000000e+04 : f64}]}
// CHECK: call @layer({{[^{]*}} : (
// CHECK: return
!x = !rel.rel<[s: ?S, h: 4] x f32>
!t = !rel.rel<[t: ?S, h: 4] x f32>
!p = !rel.rel<[s: ?S, t: ?S, h: 4] x f32>
!s = !rel.rel<[s: ?S, t: ?S] x f32>
!k = !rel.rel<[t: ?S] x i1>
func.func @main(%x: !x, %k: !k) -> !x {
  %r = rel.rekey %x [s = "#t"] : !x -> !t
  %j = rel.join %x, %r : (!x, !t) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %j over [h] : (!p) -> !s
  %m = rel.select %s where %k else 0xFF800000 : f32 : (!s, !k) -> !s
  %y = rel.aggregate softmax_sum %m, %r over [t] : (!s, !t) -> !x {mask = -1.0e4 : f64}
  %r1 = rel.rekey %y [s = "#t"] : !x -> !t
  %j1 = rel.join %y, %r1 : (!x, !t) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %s1 = rel.aggregate sum %j1 over [h] : (!p) -> !s
  %m1 = rel.select %s1 where %k else 0xFF800000 : f32 : (!s, !k) -> !s
  %y1 = rel.aggregate softmax_sum %m1, %r1 over [t] : (!s, !t) -> !x
  return %y1 : !x
}
