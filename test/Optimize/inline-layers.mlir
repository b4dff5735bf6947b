// RUN: joinery-opt %s --rel-inline-layers --split-input-file | FileCheck %s

!x = !rel.rel<[s: ?S] x f32>
!y = !rel.rel<[c0: ?S] x f32>

// Tests that calls become the layer's operations and that the function leaves.
// CHECK-NOT: @layer
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[X:[a-z0-9]+]]: !rel.rel<[s: ?S] x f32>
// CHECK: %[[V:.+]] = rel.rekey %[[X]] [s = "#c0"]
// CHECK: %[[A:.+]] = rel.join %[[V]]
// CHECK: %[[B:.+]] = rel.join %[[A]]
// CHECK: return %{{.+}}
func.func private @layer(%x: !y) -> !y {
  %0 = rel.join %x : (!y) -> !y {
  ^bb0(%a: f32):
    %1 = math.exp %a : f32
    rel.yield %1 : f32
  }
  return %0 : !y
}
func.func @main(%x: !x) -> !x {
  %0 = rel.rekey %x [s = "#c0"] : !x -> !y
  %1 = func.call @layer(%0) : (!y) -> !y
  %2 = func.call @layer(%1) : (!y) -> !y
  %3 = rel.rekey %2 [c0 = "#s"] : !y -> !x
  return %3 : !x
}

// -----

// Tests that each softmax_sum gets the mask of the call.
// CHECK-LABEL: func.func @main
// CHECK: softmax_sum {{.*}} {mask = -1.000000e+04 : f64}
// CHECK-NOT: mask =
// CHECK: softmax_sum
// CHECK-NOT: mask =
// CHECK: softmax_sum {{.*}} {fills, mask = -6.550400e+04 : f64}
// CHECK-NOT: mask =
!s = !rel.rel<[t: ?S] x f32>
!v = !rel.rel<[t: ?S, d: 8] x f32>
!w = !rel.rel<[d: 8] x f32>
!k = !rel.rel<[t: ?S] x i1>
func.func private @layer(%s: !s, %v: !v, %k: !k) -> !w {
  %0 = rel.select %s where %k else 0xFF800000 : f32 : (!s, !k) -> !s
  %1 = rel.aggregate softmax_sum %0, %v over [t] : (!s, !v) -> !w
  return %1 : !w
}
func.func @main(%s: !s, %v: !v, %k: !k) -> (!w, !w, !w) {
  %0 = func.call @layer(%s, %v, %k) {rel.masks = [{mask = -1.0e4 : f64}]} : (!s, !v, !k) -> !w
  %1 = func.call @layer(%s, %v, %k) : (!s, !v, !k) -> !w
  %2 = func.call @layer(%s, %v, %k) {rel.masks = [{fills, mask = -6.5504e4 : f64}]} : (!s, !v, !k) -> !w
  return %0, %1, %2 : !w, !w, !w
}

// -----

// Tests that a function without a body stays a call.
// CHECK-LABEL: func.func @main
// CHECK: call @elsewhere
!z = !rel.rel<[s: 2] x f32>
func.func private @elsewhere(!z) -> !z
func.func @main(%x: !z) -> !z {
  %0 = func.call @elsewhere(%x) : (!z) -> !z
  return %0 : !z
}
