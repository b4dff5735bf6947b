// RUN: joinery-opt %s --rel-push-selections --split-input-file | FileCheck %s

!x = !rel.rel<[b: ?B, s: ?S, h: 8] x f32>
!k = !rel.rel<[b: ?B, t: ?S, h: 8] x f32>
!w = !rel.rel<[h: 8, d: 8] x f32>
!xw = !rel.rel<[b: ?B, s: ?S, h: 8, d: 8] x f32>
!q = !rel.rel<[b: ?B, s: ?S, d: 8] x f32>
!kt = !rel.rel<[b: ?B, t: ?S, d: 8] x f32>
!qk = !rel.rel<[b: ?B, s: ?S, t: ?S, d: 8] x f32>
!c = !rel.rel<[b: ?B, s: ?S, t: ?S] x f32>
!m = !rel.rel<[b: ?B, s: ?S] x i1>
!mt = !rel.rel<[b: ?B, t: ?S] x i1>
!r = !rel.rel<[b: ?B, d: 8] x f32>

rel.table @w : !w = dense<1.0> : tensor<8x8xf32>

// Tests that a contraction before an attention runs over the rows that the mask
// keeps, that the attention reads an unpacked view of them, and that its
// selection is by the packed keys.
// CHECK-LABEL: func.func @attention
// CHECK-SAME: (%[[X:.+]]: !rel{{.*}}, %[[M:.+]]: !rel
// CHECK: %[[RANK:.+]] = rel.rank %{{.+}} over [b, {{s|t}}]
// CHECK: %[[ROWS:.+]] = rel.enumerate %[[RANK]] {{.*}} -> <[r: ?rows] x i64>
// CHECK: %[[P:.+]] = rel.pack %[[X]] by %[[ROWS]] over [b, s] sizes ["?B", "?S"]
// CHECK: %[[J:.+]] = rel.join %[[P]], %{{.+}} -> !rel.rel<[r: ?rows, h: 8, d: 8] x f32>
// CHECK: %[[Y:.+]] = rel.aggregate sum %[[J]] over [h] {{.*}} -> !rel.rel<[r: ?rows, d: 8] x f32>
// CHECK-DAG: rel.unpack %[[Y]] of r by %[[RANK]] over [b, s]
// CHECK-DAG: rel.unpack %[[Y]] of r by %[[RANK]] over [b, t]
// CHECK: %[[KEPT:.+]] = rel.unpack %{{.+}} of r by %[[RANK]] over [b, t] {{.*}} else false
// CHECK: rel.select %{{.+}} where %[[KEPT]] else 0xFF800000
// CHECK: %[[A:.+]] = rel.aggregate softmax_sum
// CHECK: %[[O:.+]] = rel.pack %[[A]] by %[[ROWS]]
// CHECK: rel.aggregate sum %{{.+}} -> !rel.rel<[r: ?rows, h: 8] x f32>
// CHECK: %[[R:.+]] = rel.unpack %{{.+}} of r by %[[RANK]] over [b, s] {{.*}} else 0.0
// CHECK: return %[[R]]
func.func @attention(%x: !x, %m: !m) -> !x {
  %w = rel.scan @w : !w
  %j = rel.join %x, %w : (!x, !w) -> !xw {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %j over [h] : (!xw) -> !q
  %k = rel.rekey %y [s = "#t"] : !q -> !kt
  %p = rel.join %y, %k : (!q, !kt) -> !qk {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %p over [d] : (!qk) -> !c
  %n = rel.rekey %m [s = "#t"] : !m -> !mt
  %c = rel.select %s where %n else 0xFF800000 : f32 : (!c, !mt) -> !c
  %a = rel.aggregate softmax_sum %c, %k over [t] : (!c, !kt) -> !q
  %o = rel.join %a, %w : (!q, !w) -> !xw {
  ^bb0(%e: f32, %f: f32):
    %0 = arith.mulf %e, %f : f32
    rel.yield %0 : f32
  }
  %z = rel.aggregate sum %o over [d] : (!xw) -> !x
  %r = rel.select %z where %m else 0.0 : f32 : (!x, !m) -> !x
  return %r : !x
}

// -----

!x = !rel.rel<[b: ?B, s: ?S, h: 8] x f32>
!w = !rel.rel<[h: 8, d: 8] x f32>
!xw = !rel.rel<[b: ?B, s: ?S, h: 8, d: 8] x f32>
!q = !rel.rel<[b: ?B, s: ?S, d: 8] x f32>
!m = !rel.rel<[s: ?S, b: ?B] x i1>
!r = !rel.rel<[b: ?B, d: 8] x f32>

rel.table @w : !w = dense<1.0> : tensor<8x8xf32>

// Tests that the rows of a sequence, which are folded together, lie side by side
// whatever the order of the mask's columns.
// CHECK-LABEL: func.func @mask_by_position
// CHECK: rel.rank %{{.+}} over [b, s]
// CHECK: rel.pack %{{.+}} by %{{.+}} over [b, s] sizes ["?B", "?S"]
func.func @mask_by_position(%x: !x, %m: !m) -> !r {
  %w = rel.scan @w : !w
  %j = rel.join %x, %w : (!x, !w) -> !xw {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %j over [h] : (!xw) -> !q
  %s = rel.select %y where %m else 0.0 : f32 : (!q, !m) -> !q
  %p = rel.aggregate sum %s over [s] : (!q) -> !r
  return %p : !r
}

// -----

!x = !rel.rel<[b: ?B, s: ?S, h: 8] x f32>
!w = !rel.rel<[h: 8, d: 8] x f32>
!xw = !rel.rel<[b: ?B, s: ?S, h: 8, d: 8] x f32>
!q = !rel.rel<[b: ?B, s: ?S, d: 8] x f32>
!m = !rel.rel<[b: ?B, s: ?S] x i1>
!r = !rel.rel<[b: ?B, d: 8] x f32>

rel.table @w : !w = dense<1.0> : tensor<8x8xf32>

// Tests that the first token, which another output reads whatever the mask says,
// is among the rows.
// CHECK-LABEL: func.func @first_token
// CHECK: %[[FIRST:.+]] = rel.join {{.*}} -> !rel.rel<[b: ?B, s: ?S] x i1>
// CHECK: arith.cmpi eq
// CHECK: arith.ori
// CHECK: rel.rank %[[FIRST]] over [b, s]
// CHECK: rel.aggregate sum %{{.+}} over [h] {{.*}} -> !rel.rel<[r: ?rows, d: 8] x f32>
func.func @first_token(%x: !x, %m: !m) -> (!r, !r) {
  %w = rel.scan @w : !w
  %j = rel.join %x, %w : (!x, !w) -> !xw {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %j over [h] : (!xw) -> !q
  %s = rel.select %y where %m else 0.0 : f32 : (!q, !m) -> !q
  %p = rel.aggregate sum %s over [s] : (!q) -> !r
  %f = rel.rekey %y [s = "0"] : !q -> !r
  return %p, %f : !r, !r
}

// -----

!x = !rel.rel<[b: ?B, s: ?S, h: 8] x f32>
!w = !rel.rel<[h: 8, d: 8] x f32>
!xw = !rel.rel<[b: ?B, s: ?S, h: 8, d: 8] x f32>
!q = !rel.rel<[b: ?B, s: ?S, d: 8] x f32>
!m = !rel.rel<[b: ?B, s: ?S] x i1>
!r = !rel.rel<[b: ?B, d: 8] x f32>

rel.table @w : !w = dense<1.0> : tensor<8x8xf32>

// Tests that a value that another output reads in full, and one that a window
// reads beside the rows that are kept, are computed in full.
// CHECK-LABEL: func.func @read_in_full
// CHECK-NOT: rel.rank
// CHECK: return
func.func @read_in_full(%x: !x, %m: !m) -> (!r, !q) {
  %w = rel.scan @w : !w
  %j = rel.join %x, %w : (!x, !w) -> !xw {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %j over [h] : (!xw) -> !q
  %s = rel.select %y where %m else 0.0 : f32 : (!q, !m) -> !q
  %p = rel.aggregate sum %s over [s] : (!q) -> !r
  return %p, %y : !r, !q
}

// CHECK-LABEL: func.func @window
// CHECK-NOT: rel.rank
// CHECK: return
func.func @window(%x: !x, %m: !m) -> !r {
  %w = rel.scan @w : !w
  %j = rel.join %x, %w : (!x, !w) -> !xw {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %j over [h] : (!xw) -> !q
  %n = rel.rekey %y [s = "#s + 1"] else 0.0 : f32 : !q -> !q
  %s = rel.select %n where %m else 0.0 : f32 : (!q, !m) -> !q
  %p = rel.aggregate sum %s over [s] : (!q) -> !r
  return %p : !r
}

// -----

!q = !rel.rel<[b: ?B, s: ?S, d: 8] x f32>
!kt = !rel.rel<[b: ?B, t: ?S, d: 8] x f32>
!qk = !rel.rel<[b: ?B, s: ?S, t: ?S, d: 8] x f32>
!c = !rel.rel<[b: ?B, s: ?S, t: ?S] x f32>
!mt = !rel.rel<[b: ?B, t: ?S] x i1>

// Tests that scores stay an attention where all queries are demanded: a key that
// is paired with many queries is no row of its own.
// CHECK-LABEL: func.func @all_queries
// CHECK-NOT: rel.pack
// CHECK: return
func.func @all_queries(%y: !q, %k: !kt, %m: !mt) -> !q {
  %p = rel.join %y, %k : (!q, !kt) -> !qk {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %p over [d] : (!qk) -> !c
  %c = rel.select %s where %m else 0xFF800000 : f32 : (!c, !mt) -> !c
  %a = rel.aggregate softmax_sum %c, %k over [t] : (!c, !kt) -> !q
  return %a : !q
}

// -----

!q = !rel.rel<[b: 3, s: 96, d: 8] x f32>
!kt = !rel.rel<[b: 3, t: 96, d: 8] x f32>
!qk = !rel.rel<[b: 3, s: 96, t: 96, d: 8] x f32>
!c = !rel.rel<[b: 3, s: 96, t: 96] x f32>
!mt = !rel.rel<[b: 3, t: 96] x i1>

// The same where all sizes are fixed.
// CHECK-LABEL: func.func @all_queries_of_fixed_sizes
// CHECK-NOT: rel.pack
// CHECK: return
func.func @all_queries_of_fixed_sizes(%y: !q, %k: !kt, %m: !mt) -> !q {
  %p = rel.join %y, %k : (!q, !kt) -> !qk {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %p over [d] : (!qk) -> !c
  %c = rel.select %s where %m else 0xFF800000 : f32 : (!c, !mt) -> !c
  %a = rel.aggregate softmax_sum %c, %k over [t] : (!c, !kt) -> !q
  return %a : !q
}
