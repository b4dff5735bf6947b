// RUN: joinery-opt %s --rel-widen-halves | FileCheck %s
// RUN: not joinery-opt %s --rel-widen-halves=keep=true 2>&1 | FileCheck %s --check-prefix=KEEP

!x = !rel.rel<[s: ?S, h: 8] x f16>
!w = !rel.rel<[h: 8, o: 4] x f16>
!p = !rel.rel<[s: ?S, h: 8, o: 4] x f16>
!y = !rel.rel<[s: ?S, o: 4] x f16>

rel.table @w : !w from "model.onnx" at 64 length 64

// Tests that a contraction in f16 is one in f32 between the types that the
// model gives its table, its argument and its result.
// CHECK-LABEL: func.func @contraction
// CHECK-SAME: (%[[X:.+]]: !rel.rel<{{.*}}f16>) -> !rel.rel<{{.*}}f16>
// CHECK: rel.join %[[X]] : {{.*}}f16>) -> {{.*}}f32>
// CHECK: arith.extf %{{.+}} : f16 to f32
// CHECK: %[[W:.+]] = rel.scan @w : {{.*}}f16>
// CHECK: rel.join %[[W]] : {{.*}}f16>) -> {{.*}}f32>
// CHECK: arith.mulf %{{.+}}, %{{.+}} : f32
// CHECK: %[[Y:.+]] = rel.aggregate sum %{{.+}} over [h] : {{.*}}f32>) -> {{.*}}f32>
// CHECK: %[[OUT:.+]] = rel.join %[[Y]] : {{.*}}f32>) -> {{.*}}f16>
// CHECK: arith.truncf %{{.+}} : f32 to f16
// CHECK: return %[[OUT]]
func.func @contraction(%x: !x) -> !y {
  %w = rel.scan @w : !w
  %p = rel.join %x, %w : (!x, !w) -> !p {
  ^bb0(%a: f16, %b: f16):
    %0 = arith.mulf %a, %b : f16
    rel.yield %0 : f16
  }
  %y = rel.aggregate sum %p over [h] : (!p) -> !y
  return %y : !y
}

// Tests that casts inside lose their rounding, that constants and defaults are
// the f16 values in f32, and that f64 stays.
// CHECK-LABEL: func.func @casts
// CHECK-NOT: f16
// CHECK: arith.constant 0.100097656 : f32
// CHECK-NOT: arith.truncf
// CHECK: arith.extf %{{.+}} : f32 to f64
// CHECK: arith.truncf %{{.+}} : f64 to f32
// CHECK-NOT: f16
// CHECK: rel.select %{{.+}} where %{{.+}} else -6.550400e+04 : f32
func.func @casts(%x: !rel.rel<[s: ?S] x f32>, %m: !rel.rel<[s: ?S] x i1>) -> !rel.rel<[s: ?S] x f32> {
  %h = rel.join %x : (!rel.rel<[s: ?S] x f32>) -> !rel.rel<[s: ?S] x f16> {
  ^bb0(%a: f32):
    %0 = arith.truncf %a : f32 to f16
    %c = arith.constant 0.1001 : f16
    %1 = arith.addf %0, %c : f16
    %2 = arith.extf %1 : f16 to f64
    %3 = arith.addf %2, %2 : f64
    %4 = arith.truncf %3 : f64 to f16
    rel.yield %4 : f16
  }
  %s = rel.select %h where %m else -65504.0 : f16 : (!rel.rel<[s: ?S] x f16>, !rel.rel<[s: ?S] x i1>) -> !rel.rel<[s: ?S] x f16>
  %y = rel.join %s : (!rel.rel<[s: ?S] x f16>) -> !rel.rel<[s: ?S] x f32> {
  ^bb0(%a: f16):
    %0 = arith.extf %a : f16 to f32
    rel.yield %0 : f32
  }
  return %y : !rel.rel<[s: ?S] x f32>
}

// Tests that what is only kept in bf16 may be asked for, but not computed with.
// CHECK-LABEL: func.func @bf16
// CHECK: arith.addf %{{.+}}, %{{.+}} : f32
// KEEP: [[@LINE+2]]:{{.*}} error: its value is rounded to bf16
func.func @bf16(%x: !rel.rel<[s: ?S] x bf16>) -> !rel.rel<[s: ?S] x bf16> {
  %y = rel.join %x : (!rel.rel<[s: ?S] x bf16>) -> !rel.rel<[s: ?S] x bf16> {
  ^bb0(%a: bf16):
    %0 = arith.addf %a, %a : bf16
    rel.yield %0 : bf16
  }
  return %y : !rel.rel<[s: ?S] x bf16>
}
