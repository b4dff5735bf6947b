// RUN: joinery-opt --plan %s | FileCheck %s

!x = !rel.rel<[b: ?B, s: ?S, h: 32] x f32>
!m = !rel.rel<[b: ?B, s: ?S] x i1>
!rank = !rel.rel<[i: "?B * ?S + 1"] x i64>
!rows = !rel.rel<[r: ?rows] x i64>
!xp = !rel.rel<[r: ?rows, h: 32] x f32>
!p = !rel.rel<[r: ?rows, n: 2, d: 16] x f32>
!v = !rel.rel<[r: ?rows, n: 2, e: 16] x f32>
!q = !rel.rel<[b: ?B, s: ?S, n: 2, d: 16] x f32>
!k = !rel.rel<[b: ?B, t: ?S, n: 2, d: 16] x f32>
!vt = !rel.rel<[b: ?B, t: ?S, n: 2, e: 16] x f32>
!mt = !rel.rel<[b: ?B, t: ?S] x i1>
!qk = !rel.rel<[b: ?B, n: 2, s: ?S, t: ?S, d: 16] x f32>
!c = !rel.rel<[b: ?B, n: 2, s: ?S, t: ?S] x f32>
!a = !rel.rel<[b: ?B, n: 2, s: ?S, e: 16] x f32>
!out = !rel.rel<[b: ?B, s: ?S, n: 2, e: 16] x f32>

// Tests that values whose elements do not lie side by side are copied packed, as
// the keys are, which are read where they are.
// CHECK-LABEL: func.func @main
// CHECK-DAG: %[[RANK:.+]] = rel.materialize %{{.+}} by "scan" : <[i: "?B * ?S + 1"] x i64>
// CHECK-DAG: %[[ROWS:.+]] = rel.materialize %{{.+}} by "scan" : <[r: ?rows] x i64>
// CHECK: %[[XP:.+]] = rel.materialize %{{.+}} by "rows" : <[r: ?rows, h: 32] x f32>
// CHECK: rel.pack %{{.+}} by %[[ROWS]] over [b, t]
// CHECK: %[[V:.+]] = rel.materialize %{{.+}} by "rows" : <[r: ?rows, n: 2, e: 16] x f32> -> <[r: ?rows, n: 2, e: 16] x f32, ["r", "n", "e"]>
// CHECK: %[[VIEW:.+]] = rel.unpack %[[V]] of r by %[[RANK]] over [b, t]
// CHECK: rel.aggregate softmax_sum %{{.+}}, %[[VIEW]] over [t]
// CHECK: rel.materialize %{{.+}} by "attention"
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "?S", "32"]},
                %m: !m {rel.name = "m", rel.shape = ["?B", "?S"]})
    -> (!out {rel.name = "y", rel.shape = ["?B", "?S", "2", "16"], rel.dims = [["b"], ["s"], ["n"], ["e"]]}) {
  %rank = rel.rank %m over [b, s] : !m -> !rank
  %rows = rel.enumerate %rank : !rank -> !rows
  %xp = rel.pack %x by %rows over [b, s] sizes ["?B", "?S"] : (!x, !rows) -> !xp
  %kp = rel.rekey %xp [h = "16 * #n + #d"] : !xp -> !p
  %vp = rel.rekey %xp [h = "#n + 2 * #e"] : !xp -> !v
  %q = rel.unpack %kp of r by %rank over [b, s] sizes ["?B", "?S"] else 0.0 : f32 : (!p, !rank) -> !q
  %k = rel.unpack %kp of r by %rank over [b, t] sizes ["?B", "?S"] else 0.0 : f32 : (!p, !rank) -> !k
  %v = rel.unpack %vp of r by %rank over [b, t] sizes ["?B", "?S"] else 0.0 : f32 : (!v, !rank) -> !vt
  %j = rel.join %q, %k : (!q, !k) -> !qk {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %j over [d] : (!qk) -> !c
  %true = rel.join %rows : (!rows) -> !rel.rel<[r: ?rows] x i1> {
  ^bb0(%n: i64):
    %0 = arith.constant true
    rel.yield %0 : i1
  }
  %mt = rel.unpack %true of r by %rank over [b, t] sizes ["?B", "?S"] else false : (!rel.rel<[r: ?rows] x i1>, !rank) -> !mt
  %masked = rel.select %s where %mt else 0xFF800000 : f32 : (!c, !mt) -> !c
  %a = rel.aggregate softmax_sum %masked, %v over [t] : (!c, !vt) -> !a
  %packed = rel.pack %a by %rows over [b, s] sizes ["?B", "?S"] : (!a, !rows) -> !v
  %y = rel.unpack %packed of r by %rank over [b, s] sizes ["?B", "?S"] else 0.0 : f32 : (!v, !rank) -> !out
  return %y : !out
}
