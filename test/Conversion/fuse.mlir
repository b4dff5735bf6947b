// RUN: joinery-opt --plan --fuse %s | FileCheck %s

!x = !rel.rel<[b: ?B, k: 16] x f32>
!w = !rel.rel<[k: 16, n: 16] x f32>
!p = !rel.rel<[b: ?B, k: 16, n: 16] x f32>
!y = !rel.rel<[b: ?B, n: 16] x f32>
!w2 = !rel.rel<[n: 16, m: 16] x f32>
!p2 = !rel.rel<[b: ?B, n: 16, m: 16] x f32>
!z = !rel.rel<[b: ?B, m: 16] x f32>

rel.table @w1 : !w from "m.onnx" at 0 length 1024
rel.table @w2 : !w from "m.onnx" at 1024 length 1024

// Tests that two layers that differ in their weights and in the names of their
// columns are one kernel that runs twice.
// CHECK: pipe.kernel @k0 by "contraction"
// CHECK-NOT: pipe.kernel
// CHECK-LABEL: func.func @main
// CHECK: %[[H:.+]] = pipe.run @k0(
// CHECK: %[[Y:.+]] = pipe.run @k0({{.*}}%[[H]]
// CHECK: return %[[Y]]
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "16"]})
    -> (!z {rel.name = "y", rel.shape = ["?B", "16"], rel.dims = [["b"], ["m"]]}) {
  %a = rel.scan @w1 : !w
  %p = rel.join %x, %a : (!x, !w) -> !p {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %h = rel.aggregate sum %p over [k] : (!p) -> !y
  %b = rel.scan @w2 : !w2
  %q = rel.join %h, %b : (!y, !w2) -> !p2 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %z = rel.aggregate sum %q over [n] : (!p2) -> !z
  return %z : !z
}
