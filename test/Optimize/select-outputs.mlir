// RUN: joinery-opt %s --rel-select-outputs --split-input-file | FileCheck %s

!x = !rel.rel<[b: ?B, s: ?S, d: 8] x f32>
!k = !rel.rel<[b: ?B, t: ?S, d: 8] x f32>
!c = !rel.rel<[b: ?B, s: ?S, t: ?S] x f32>
!p = !rel.rel<[b: ?B, s: ?S, t: ?S, d: 8] x f32>
!m = !rel.rel<[b: ?B, s: ?S] x i1>
!mt = !rel.rel<[b: ?B, t: ?S] x i1>
!r = !rel.rel<[b: ?B, d: 8] x f32>

// Tests that rows that the mask drops, and batch rows without any, are zero.
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[M:[a-z0-9]+]]: !rel.rel<[b: ?B, s: ?S] x i1> {rel.binary}
// CHECK: %[[Y:.+]] = rel.aggregate softmax_sum
// CHECK: %[[P:.+]] = rel.rekey %[[Y]] [s = "0"]
// CHECK: %[[O:.+]] = rel.select %[[Y]] where %[[M]] else 0.000000e+00
// CHECK: %[[A:.+]] = rel.aggregate any %{{.+}} over [t]
// CHECK: %[[Q:.+]] = rel.select %[[P]] where %[[A]] else 0.000000e+00
// CHECK: return %[[O]], %[[Q]]
func.func @main(%x: !x, %m: !m) -> (!x, !r) {
  %k = rel.rekey %x [s = "#t"] : !x -> !k
  %j = rel.join %x, %k : (!x, !k) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %j over [d] : (!p) -> !c
  %n = rel.rekey %m [s = "#t"] : !m -> !mt
  %c = rel.select %s where %n else 0xFF800000 : f32 : (!c, !mt) -> !c
  %y = rel.aggregate softmax_sum %c, %k over [t] : (!c, !k) -> !x
  %p = rel.rekey %y [s = "0"] : !x -> !r
  return %y, %p : !x, !r
}

// -----

!x = !rel.rel<[b: ?B, s: ?S, d: 8] x f32>
!m = !rel.rel<[b: ?B, s: ?S] x i1>

// Tests that an input that selects no keys is no mask of the rows.
// CHECK-LABEL: func.func @no_keys
// CHECK-NOT: rel.binary
// CHECK-NOT: rel.select
// CHECK: return
func.func @no_keys(%x: !x, %m: !m) -> !x {
  %y = rel.join %x, %m : (!x, !m) -> !x {
  ^bb0(%a: f32, %k: i1):
    %0 = arith.uitofp %k : i1 to f32
    %1 = arith.addf %a, %0 : f32
    rel.yield %1 : f32
  }
  return %y : !x
}

// -----

!x = !rel.rel<[b: ?B, s: ?S, d: 8] x f32>
!k = !rel.rel<[b: ?B, t: ?S, d: 8] x f32>
!c = !rel.rel<[b: ?B, s: ?S, t: ?S] x f32>
!p = !rel.rel<[b: ?B, s: ?S, t: ?S, d: 8] x f32>
!m = !rel.rel<[b: ?B, s: ?S] x i64>
!mt = !rel.rel<[b: ?B, t: ?S] x i1>
!r = !rel.rel<[b: ?B, d: 8] x f32>

// Tests that a sum of products with the mask, as mean pooling has it, reads the
// rows that the mask keeps; a product that is shown stays.
// CHECK-LABEL: func.func @pooled
// CHECK: %[[Y:.+]] = rel.aggregate softmax_sum
// CHECK: %[[Q:.+]] = rel.join %[[Y]] :
// CHECK: %[[S:.+]] = rel.select %[[Q]] where %{{.+}} else 0.000000e+00
// CHECK: rel.aggregate sum %[[S]] over [s]
// CHECK: arith.sitofp
func.func @pooled(%x: !x, %m: !m) -> (!r, !x) {
  %k = rel.rekey %x [s = "#t"] : !x -> !k
  %j = rel.join %x, %k : (!x, !k) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %j over [d] : (!p) -> !c
  %n = rel.rekey %m [s = "#t"] : !m -> !rel.rel<[b: ?B, t: ?S] x i64>
  %w = rel.join %n : (!rel.rel<[b: ?B, t: ?S] x i64>) -> !mt {
  ^bb0(%a: i64):
    %z = arith.constant 0 : i64
    %0 = arith.cmpi ne, %a, %z : i64
    rel.yield %0 : i1
  }
  %c = rel.select %s where %w else 0xFF800000 : f32 : (!c, !mt) -> !c
  %y = rel.aggregate softmax_sum %c, %k over [t] : (!c, !k) -> !x
  %q = rel.join %y, %m : (!x, !m) -> !x {
  ^bb0(%a: f32, %b: i64):
    %0 = arith.sitofp %b : i64 to f32
    %1 = arith.mulf %a, %0 : f32
    rel.yield %1 : f32
  }
  %r = rel.aggregate sum %q over [s] : (!x) -> !r
  %u = rel.join %x, %m : (!x, !m) -> !x {
  ^bb0(%a: f32, %b: i64):
    %0 = arith.sitofp %b : i64 to f32
    %1 = arith.mulf %a, %0 : f32
    rel.yield %1 : f32
  }
  return %r, %u : !r, !x
}
