// RUN: joinery-opt %s | joinery-opt | FileCheck %s

// Tests that the operators on packed rows print and parse.
// CHECK-LABEL: func.func @packing
func.func @packing(%x: !rel.rel<[b: ?B, s: ?S, h: 8] x f32>,
                   %m: !rel.rel<[b: ?B, s: ?S] x i1>,
                   %e: !rel.rel<[s: ?S, h: 8] x f32>)
    -> !rel.rel<[b: ?B, h: 8, s: ?S] x f32> {
  // CHECK: %[[RANK:.+]] = rel.rank %{{.+}} over [b, s] : <[b: ?B, s: ?S] x i1> -> <[i: "?B * ?S + 1"] x i64>
  %rank = rel.rank %m over [b, s] : <[b: ?B, s: ?S] x i1> -> <[i: "?B * ?S + 1"] x i64>
  // CHECK: %[[ROWS:.+]] = rel.enumerate %[[RANK]] : <[i: "?B * ?S + 1"] x i64> -> <[r: ?rows] x i64>
  %rows = rel.enumerate %rank : <[i: "?B * ?S + 1"] x i64> -> <[r: ?rows] x i64>
  // CHECK: %[[P:.+]] = rel.pack %{{.+}} by %[[ROWS]] over [b, s] sizes ["?B", "?S"]
  %p = rel.pack %x by %rows over [b, s] sizes ["?B", "?S"] : (!rel.rel<[b: ?B, s: ?S, h: 8] x f32>, !rel.rel<[r: ?rows] x i64>) -> !rel.rel<[r: ?rows, h: 8] x f32>
  // A relation that lacks a packed column is the same in it.
  // CHECK: rel.pack %{{.+}} by %[[ROWS]] over [b, s] sizes ["?B", "?S"]
  %q = rel.pack %e by %rows over [b, s] sizes ["?B", "?S"] : (!rel.rel<[s: ?S, h: 8] x f32>, !rel.rel<[r: ?rows] x i64>) -> !rel.rel<[r: ?rows, h: 8] x f32>
  // CHECK: rel.unpack %[[P]] of r by %[[RANK]] over [b, s] sizes ["?B", "?S"] else 0.000000e+00 : f32
  %u = rel.unpack %p of r by %rank over [b, s] sizes ["?B", "?S"] else 0.0 : f32 : (!rel.rel<[r: ?rows, h: 8] x f32>, !rel.rel<[i: "?B * ?S + 1"] x i64>) -> !rel.rel<[b: ?B, h: 8, s: ?S] x f32>
  return %u : !rel.rel<[b: ?B, h: 8, s: ?S] x f32>
}
