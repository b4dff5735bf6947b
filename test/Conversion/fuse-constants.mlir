// RUN: joinery-opt --plan --fuse %s | FileCheck %s

!x = !rel.rel<[b: ?B, k: 16] x f32>

// Tests that pipelines which differ in constants are one kernel: what all runs have
// in common stays in it (1), equal constants are one argument (0.25 and 0.5, twice
// each), others are another (7 and 9), and the runs read them from tables.
// CHECK: pipe.kernel @k0 by "rows"
// CHECK-NEXT: ^bb0(%[[X:.+]]: !rel{{[^,]*}}[b: ?B, k: 16] x f32, ["b", "k"]>, %[[S:.+]]: !rel.rel<[] x f32, []>, %[[Z:.+]]: !rel.rel<[] x i32, []>):
// CHECK: rel.join %[[X]], %[[S]], %[[Z]] :
// CHECK-NEXT: ^bb0(%[[V:.+]]: f32, %[[SCALE:.+]]: f32, %[[ZERO:.+]]: i32):
// CHECK-NEXT: %[[ONE:.+]] = arith.constant 1.000000e+00 : f32
// CHECK-NEXT: arith.addf %[[V]], %[[ONE]]
// CHECK-NEXT: arith.mulf {{.+}}, %[[SCALE]]
// CHECK-NEXT: arith.fptosi
// CHECK-NEXT: arith.addi {{.+}}, %[[ZERO]]
// CHECK-NEXT: arith.sitofp
// CHECK-NEXT: arith.subf {{.+}}, %[[SCALE]]
// CHECK-NOT: pipe.kernel
// CHECK-LABEL: func.func @main
// CHECK: arith.constant 2.500000e-01 : f32
// CHECK: %[[S0:.+]] = rel.materialize {{.+}} by "table" : <[] x f32>
// CHECK: arith.constant 7 : i32
// CHECK: %[[Z0:.+]] = rel.materialize {{.+}} by "table" : <[] x i32>
// CHECK: %[[H:.+]] = pipe.run @k0({{.+}}, %[[S0]], %[[Z0]])
// CHECK: arith.constant 5.000000e-01 : f32
// CHECK: %[[S1:.+]] = rel.materialize
// CHECK: arith.constant 9 : i32
// CHECK: %[[Z1:.+]] = rel.materialize
// CHECK: pipe.run @k0({{.+}}, %[[S1]], %[[Z1]])
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "16"]})
    -> (!x {rel.name = "y", rel.shape = ["?B", "16"], rel.dims = [["b"], ["k"]]},
        !x {rel.name = "z", rel.shape = ["?B", "16"], rel.dims = [["b"], ["k"]]}) {
  %y = rel.join %x : (!x) -> !x {
  ^bb0(%v: f32):
    %one = arith.constant 1.0 : f32
    %scale = arith.constant 0.25 : f32
    %again = arith.constant 0.25 : f32
    %zero = arith.constant 7 : i32
    %0 = arith.addf %v, %one : f32
    %1 = arith.mulf %0, %scale : f32
    %2 = arith.fptosi %1 : f32 to i32
    %3 = arith.addi %2, %zero : i32
    %4 = arith.sitofp %3 : i32 to f32
    %5 = arith.subf %4, %again : f32
    rel.yield %5 : f32
  }
  %z = rel.join %x : (!x) -> !x {
  ^bb0(%v: f32):
    %one = arith.constant 1.0 : f32
    %scale = arith.constant 0.5 : f32
    %again = arith.constant 0.5 : f32
    %zero = arith.constant 9 : i32
    %0 = arith.addf %v, %one : f32
    %1 = arith.mulf %0, %scale : f32
    %2 = arith.fptosi %1 : f32 to i32
    %3 = arith.addi %2, %zero : i32
    %4 = arith.sitofp %3 : i32 to f32
    %5 = arith.subf %4, %again : f32
    rel.yield %5 : f32
  }
  return %y, %z : !x, !x
}
