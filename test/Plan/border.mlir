// RUN: joinery-opt --plan %s | FileCheck %s

!x = !rel.rel<[s: ?S, h: 8] x f32>

// Tests that an echoed input is copied, that a result is stored in the order of
// its ONNX dimensions, and that a dimension along which the relation is constant
// gets a column.
// CHECK-LABEL: func.func @main
// CHECK-DAG: %[[ECHO:.+]] = rel.materialize %{{.+}} by "rows" {{.*}} -> <[s: ?S, h: 8] x f32, ["s", "h"]>
// CHECK-DAG: %[[TRANSPOSED:.+]] = rel.materialize %{{.+}} by "rows" {{.*}} -> <{{.*}}, ["h", "s"]>
// CHECK-DAG: rel.range : <[out0: ?B] x i64>
// CHECK-DAG: %[[EXPANDED:.+]] = rel.materialize %{{.+}} by "rows" {{.*}} -> <{{.*}}, ["out0", "s", "h"]>
// CHECK: return %[[ECHO]], %[[TRANSPOSED]], %[[EXPANDED]]
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?S", "8"]})
    -> (!x {rel.name = "echo", rel.shape = ["?S", "8"], rel.dims = [["s"], ["h"]]},
        !x {rel.name = "transposed", rel.shape = ["8", "?S"], rel.dims = [["h"], ["s"]]},
        !x {rel.name = "expanded", rel.shape = ["?B", "?S", "8"], rel.dims = [[], ["s"], ["h"]]}) {
  %n = rel.join %x : (!x) -> !x {
  ^bb0(%a: f32):
    %0 = arith.negf %a : f32
    rel.yield %0 : f32
  }
  %m = rel.join %x : (!x) -> !x {
  ^bb0(%a: f32):
    %0 = arith.addf %a, %a : f32
    rel.yield %0 : f32
  }
  return %x, %n, %m : !x, !x, !x
}
