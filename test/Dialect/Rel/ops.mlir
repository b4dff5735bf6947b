// RUN: joinery-opt %s | joinery-opt | FileCheck %s

!x = !rel.rel<[b: ?B, s: ?S, k: 64] x f32>
!w = !rel.rel<[k: 64, h: 48] x f32>
!p = !rel.rel<[b: ?B, s: ?S, k: 64, h: 48] x f32>
!y = !rel.rel<[b: ?B, s: ?S, h: 48] x f32>
!heads = !rel.rel<[b: ?B, s: ?S, n: 3, d: 16] x f32>
!ids = !rel.rel<[b: ?B, s: ?S] x i64>
!mask = !rel.rel<[b: ?B, s: ?S] x i1>

// Tests that tables name a slice of a file or hold a small value.
// CHECK: rel.table @w : !rel.rel<[k: 64, n: 48] x f32> from "m.onnx" at 16 length 12288
// CHECK: rel.table @c : !rel.rel<[i: 2] x f32> = dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>
rel.table @w : !rel.rel<[k: 64, n: 48] x f32> from "m.onnx" at 16 length 12288
rel.table @c : !rel.rel<[i: 2] x f32> = dense<[0.0, 1.0]> : tensor<2xf32>

// Tests that every operator prints as it is read, extents and layouts included.
// CHECK-LABEL: func.func @operators
func.func @operators(%x: !x, %ids: !ids, %m: !mask) {
  // CHECK: %[[W:.+]] = rel.scan @w : <[k: 64, h: 48] x f32>
  %w = rel.scan @w : !w
  // CHECK: rel.range : <[s: ?S] x i64>
  %positions = rel.range : !rel.rel<[s: ?S] x i64>
  // CHECK: %[[P:.+]] = rel.join %{{.+}}, %[[W]] : {{.*}} -> !rel.rel<[b: ?B, s: ?S, k: 64, h: 48] x f32> {
  // CHECK: arith.mulf
  %p = rel.join %x, %w : (!x, !w) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  // CHECK: %[[Y:.+]] = rel.aggregate sum %[[P]] over [k]
  %y = rel.aggregate sum %p over [k] : (!p) -> !y
  // CHECK: rel.rekey %[[Y]] [h = "16 * #n + #d"] else 1.000000e+00 : f32
  %q = rel.rekey %y [h = "16 * #n + #d"] else 1.0 : f32 : !y -> !heads
  // CHECK: rel.lookup %[[W]][k = %{{.+}}] proved
  %e = rel.lookup %w[k = %ids] proved : (!w, !ids) -> !y
  // CHECK: rel.select %[[Y]] where %{{.+}} else 0.000000e+00 : f32
  %z = rel.select %y where %m else 0.0 : f32 : (!y, !mask) -> !y
  // CHECK: rel.union over s(%[[Y]], %{{.+}}) sizes ["?S", "?S"] : {{.*}} -> !rel.rel<[b: ?B, s: "2 * ?S", h: 48] x f32>
  %u = rel.union over s(%y, %e) sizes ["?S", "?S"] : (!y, !y) -> !rel.rel<[b: ?B, s: "2 * ?S", h: 48] x f32>
  // CHECK: rel.materialize %[[Y]] by "rows" {{.*}} -> <[b: ?B, s: ?S, h: 48] x f32, ["h/16", "b", "s", "h%16"]>
  %t = rel.materialize %y by "rows" : !y -> !rel.rel<[b: ?B, s: ?S, h: 48] x f32, ["h/16", "b", "s", "h%16"]>
  return
}

// Tests that heads are a column like any other: scores join on batch and head.
// CHECK-LABEL: func.func @scores
// CHECK: rel.join %{{.+}}, %{{.+}} : (!rel.rel<[b: ?B, n: 3, s: ?S, d: 16] x f32>, !rel.rel<[b: ?B, n: 3, t: ?S, d: 16] x f32>) -> !rel.rel<[b: ?B, n: 3, s: ?S, d: 16, t: ?S] x f32>
// CHECK: rel.aggregate sum %{{.+}} over [d]
func.func @scores(%q: !rel.rel<[b: ?B, n: 3, s: ?S, d: 16] x f32>,
                  %k: !rel.rel<[b: ?B, n: 3, t: ?S, d: 16] x f32>)
    -> !rel.rel<[b: ?B, n: 3, s: ?S, t: ?S] x f32> {
  %p = rel.join %q, %k : (!rel.rel<[b: ?B, n: 3, s: ?S, d: 16] x f32>, !rel.rel<[b: ?B, n: 3, t: ?S, d: 16] x f32>) -> !rel.rel<[b: ?B, n: 3, s: ?S, d: 16, t: ?S] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %p over [d] : (!rel.rel<[b: ?B, n: 3, s: ?S, d: 16, t: ?S] x f32>) -> !rel.rel<[b: ?B, n: 3, s: ?S, t: ?S] x f32>
  return %s : !rel.rel<[b: ?B, n: 3, s: ?S, t: ?S] x f32>
}
