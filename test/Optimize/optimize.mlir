// RUN: joinery-opt %s --rel-merge-equal-plans --rel-optimize --rel-select-outputs | FileCheck %s
// RUN: joinery-opt %s --rel-optimize --rel-merge-joins | FileCheck %s --check-prefix=MERGED

// Tests that attention as exporters write it (bias, heads split and merged, a
// scale, an additive mask, softmax, weighted sum, projection) becomes three
// contractions, scores, one streaming aggregate and a contraction, with neither
// a head split nor a mask left, and that rows that the mask drops are zero.
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[X:[a-z0-9]+]]: !rel.rel<[b: ?B, s: ?S, k: 64] x f32>
// CHECK-SAME: {rel.binary}
// CHECK-NOT: math.exp
// CHECK-DAG: rel.rekey %{{.+}} [n = "#d + 16 * #h"] : <[k: 64, n: 64] x f32>
// CHECK: %[[S:.+]] = rel.aggregate sum %{{.+}} over [d]
// CHECK: rel.join %[[S]]
// CHECK: arith.constant 2.500000e-01
// CHECK: %[[K:.+]] = rel.select %{{.+}} where %{{.+}} else 0xFF800000
// CHECK: %[[C:.+]] = rel.aggregate softmax_sum %[[K]], %{{.+}} over [t]
// CHECK: %[[W:.+]] = rel.rekey %{{.+}} [k = "#d + 16 * #h"]
// CHECK: rel.join %[[C]], %[[W]]
// CHECK: %[[Y:.+]] = rel.aggregate sum %{{.+}} over [h, d]
// CHECK: rel.select %[[Y]] where %{{.+}} else 0.000000e+00
// CHECK-NOT: rel.aggregate

// MERGED: %[[U:.+]] = rel.union over j({{.*}}) sizes ["64", "64", "64"]
// MERGED: rel.join %{{.+}}, %[[U]]
// MERGED-COUNT-4: rel.aggregate
// MERGED-NOT: rel.aggregate

!x = !rel.rel<[b: ?B, s: ?S, k: 64] x f32>
!w = !rel.rel<[k: 64, n: 64] x f32>
!y = !rel.rel<[b: ?B, s: ?S, n: 64] x f32>
!h = !rel.rel<[b: ?B, s: ?S, h: 4, d: 16] x f32>
!m = !rel.rel<[b: ?B, s: ?S] x i64>
rel.table @wq : !w from "w.bin" at 0 length 16384
rel.table @wk : !w from "w.bin" at 16384 length 16384
rel.table @wv : !w from "w.bin" at 32768 length 16384
rel.table @bq : !rel.rel<[n: 64] x f32> from "w.bin" at 49152 length 256
rel.table @bk : !rel.rel<[n: 64] x f32> from "w.bin" at 49408 length 256
rel.table @wo : !w from "w.bin" at 0 length 16384
func.func @main(%x: !x, %m: !m) -> !y {
  %wq = rel.scan @wq : !w
  %wk = rel.scan @wk : !w
  %wv = rel.scan @wv : !w
  %bq = rel.scan @bq : !rel.rel<[n: 64] x f32>
  %bk = rel.scan @bk : !rel.rel<[n: 64] x f32>
  %p0 = rel.join %x, %wq : (!x, !w) -> !rel.rel<[b: ?B, s: ?S, k: 64, n: 64] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %q0 = rel.aggregate sum %p0 over [k] : (!rel.rel<[b: ?B, s: ?S, k: 64, n: 64] x f32>) -> !y
  %q1 = rel.join %q0, %bq : (!y, !rel.rel<[n: 64] x f32>) -> !y {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %b, %a : f32
    rel.yield %0 : f32
  }
  %q = rel.rekey %q1 [n = "16 * #h + #d"] : !y -> !h
  %p1 = rel.join %x, %wk : (!x, !w) -> !rel.rel<[b: ?B, s: ?S, k: 64, n: 64] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %k0 = rel.aggregate sum %p1 over [k] : (!rel.rel<[b: ?B, s: ?S, k: 64, n: 64] x f32>) -> !y
  %k1 = rel.join %k0, %bk : (!y, !rel.rel<[n: 64] x f32>) -> !y {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %b, %a : f32
    rel.yield %0 : f32
  }
  %k = rel.rekey %k1 [n = "16 * #h + #d", s = "#t"] : !y -> !rel.rel<[b: ?B, t: ?S, h: 4, d: 16] x f32>
  %p2 = rel.join %x, %wv : (!x, !w) -> !rel.rel<[b: ?B, s: ?S, k: 64, n: 64] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %v0 = rel.aggregate sum %p2 over [k] : (!rel.rel<[b: ?B, s: ?S, k: 64, n: 64] x f32>) -> !y
  %v = rel.rekey %v0 [n = "16 * #h + #d", s = "#t"] : !y -> !rel.rel<[b: ?B, t: ?S, h: 4, d: 16] x f32>
  %ps = rel.join %q, %k : (!h, !rel.rel<[b: ?B, t: ?S, h: 4, d: 16] x f32>) -> !rel.rel<[b: ?B, s: ?S, t: ?S, h: 4, d: 16] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %s0 = rel.aggregate sum %ps over [d] : (!rel.rel<[b: ?B, s: ?S, t: ?S, h: 4, d: 16] x f32>) -> !rel.rel<[b: ?B, s: ?S, t: ?S, h: 4] x f32>
  %s1 = rel.join %s0 : (!rel.rel<[b: ?B, s: ?S, t: ?S, h: 4] x f32>) -> !rel.rel<[b: ?B, s: ?S, t: ?S, h: 4] x f32> {
  ^bb0(%a: f32):
    %c = arith.constant 4.0 : f32
    %0 = arith.divf %a, %c : f32
    rel.yield %0 : f32
  }
  %m0 = rel.join %m : (!m) -> !rel.rel<[b: ?B, s: ?S] x f32> {
  ^bb0(%a: i64):
    %c = arith.constant 1.0 : f32
    %d = arith.constant -10000.0 : f32
    %0 = arith.sitofp %a : i64 to f32
    %1 = arith.subf %c, %0 : f32
    %2 = arith.mulf %1, %d : f32
    rel.yield %2 : f32
  }
  %m1 = rel.rekey %m0 [s = "#t"] : !rel.rel<[b: ?B, s: ?S] x f32> -> !rel.rel<[b: ?B, t: ?S] x f32>
  %s2 = rel.join %s1, %m1 : (!rel.rel<[b: ?B, s: ?S, t: ?S, h: 4] x f32>, !rel.rel<[b: ?B, t: ?S] x f32>) -> !rel.rel<[b: ?B, s: ?S, t: ?S, h: 4] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    rel.yield %0 : f32
  }
  %mx = rel.aggregate max %s2 over [t] : (!rel.rel<[b: ?B, s: ?S, t: ?S, h: 4] x f32>) -> !rel.rel<[b: ?B, s: ?S, h: 4] x f32>
  %e = rel.join %s2, %mx : (!rel.rel<[b: ?B, s: ?S, t: ?S, h: 4] x f32>, !rel.rel<[b: ?B, s: ?S, h: 4] x f32>) -> !rel.rel<[b: ?B, s: ?S, t: ?S, h: 4] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.subf %a, %b : f32
    %1 = math.exp %0 : f32
    rel.yield %1 : f32
  }
  %z = rel.aggregate sum %e over [t] : (!rel.rel<[b: ?B, s: ?S, t: ?S, h: 4] x f32>) -> !rel.rel<[b: ?B, s: ?S, h: 4] x f32>
  %p = rel.join %e, %z : (!rel.rel<[b: ?B, s: ?S, t: ?S, h: 4] x f32>, !rel.rel<[b: ?B, s: ?S, h: 4] x f32>) -> !rel.rel<[b: ?B, s: ?S, t: ?S, h: 4] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.divf %a, %b : f32
    rel.yield %0 : f32
  }
  %pv = rel.join %p, %v : (!rel.rel<[b: ?B, s: ?S, t: ?S, h: 4] x f32>, !rel.rel<[b: ?B, t: ?S, h: 4, d: 16] x f32>) -> !rel.rel<[b: ?B, s: ?S, t: ?S, h: 4, d: 16] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %ctx = rel.aggregate sum %pv over [t] : (!rel.rel<[b: ?B, s: ?S, t: ?S, h: 4, d: 16] x f32>) -> !h
  %c1 = rel.rekey %ctx [h = "#k floordiv 16", d = "#k mod 16"] : !h -> !x
  %wo = rel.scan @wo : !w
  %po = rel.join %c1, %wo : (!x, !w) -> !rel.rel<[b: ?B, s: ?S, k: 64, n: 64] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %o = rel.aggregate sum %po over [k] : (!rel.rel<[b: ?B, s: ?S, k: 64, n: 64] x f32>) -> !y
  return %o : !y
}
