// RUN: joinery-opt %s --rel-tabulate-differences --split-input-file | FileCheck %s

!d = !rel.rel<[s: ?S, t: ?S] x f32>
!s = !rel.rel<[s: ?S] x i64>
!t = !rel.rel<[t: ?S] x i64>

// Tests that a function of t - s is computed once per difference.
// CHECK-LABEL: func.func @distance
// CHECK: rel.range : <[delta: "2 * ?S - 1"] x i64>
// CHECK: %[[T:.+]] = rel.join
// CHECK: math.exp
// CHECK: rel.rekey %[[T]] [delta = "-#s + #t + ?S - 1"]
func.func @distance() -> !d {
  %s = rel.range : !s
  %t = rel.range : !t
  %d = rel.join %t, %s : (!t, !s) -> !d {
  ^bb0(%a: i64, %b: i64):
    %0 = arith.subi %a, %b : i64
    %1 = arith.sitofp %0 : i64 to f32
    %2 = math.exp %1 : f32
    rel.yield %2 : f32
  }
  return %d : !d
}

// -----

!d = !rel.rel<[s: ?S, t: ?S] x f32>
!s = !rel.rel<[s: ?S] x i64>
!t = !rel.rel<[t: ?S] x i64>

// Tests that a function of both keys stays.
// CHECK-LABEL: func.func @both_keys
// CHECK-NOT: delta
func.func @both_keys() -> !d {
  %s = rel.range : !s
  %t = rel.range : !t
  %d = rel.join %t, %s : (!t, !s) -> !d {
  ^bb0(%a: i64, %b: i64):
    %0 = arith.subi %a, %b : i64
    %1 = arith.muli %0, %a : i64
    %2 = arith.sitofp %1 : i64 to f32
    %3 = math.exp %2 : f32
    rel.yield %3 : f32
  }
  return %d : !d
}

// -----

!b = !rel.rel<[u: 32, n: 4] x f32>
!i = !rel.rel<[delta: "2 * ?S - 1"] x i64>
!g = !rel.rel<[s: ?S, t: ?S] x i64>

// Tests that a lookup by differences looks up once per difference.
// CHECK-LABEL: func.func @bias
// CHECK-SAME: %[[B:.+]]: !rel.rel<{{.*}}>, %[[I:.+]]: !rel.rel
// CHECK: %[[L:.+]] = rel.lookup %[[B]][u = %[[I]]]
// CHECK: rel.rekey %[[L]]
func.func @bias(%b: !b, %i: !i) -> !rel.rel<[s: ?S, t: ?S, n: 4] x f32> {
  %g = rel.rekey %i [delta = "#t - #s + ?S - 1"] : !i -> !g
  %l = rel.lookup %b[u = %g] : (!b, !g) -> !rel.rel<[s: ?S, t: ?S, n: 4] x f32>
  return %l : !rel.rel<[s: ?S, t: ?S, n: 4] x f32>
}

// -----

!d = !rel.rel<[s: "max(0, ?S - 1)", t: "max(0, ?S - 1)"] x f32>
!s = !rel.rel<[s: "max(0, ?S - 1)"] x i64>
!t = !rel.rel<[t: "max(0, ?S - 1)"] x i64>

// Tests that the table's last key, of a range that may be empty, is read once:
// nothing is raised above it, which would make two keys of one again.
// CHECK-LABEL: func.func @may_be_empty
// CHECK: rel.range : <[delta: "2 * max(0, ?S - 1) - 1"] x i64>
// CHECK: rel.rekey %{{.+}} [i = "max(0, ?S - 1) - 1"]
// CHECK: math.log
// CHECK-NOT: rel.range
func.func @may_be_empty() -> !d {
  %s = rel.range : !s
  %t = rel.range : !t
  %d = rel.join %t, %s : (!t, !s) -> !d {
  ^bb0(%a: i64, %b: i64):
    %0 = arith.subi %a, %b : i64
    %1 = arith.sitofp %0 : i64 to f32
    %2 = math.log %1 : f32
    rel.yield %2 : f32
  }
  return %d : !d
}

// -----

!p = !rel.rel<[p: 511, h: 8] x f32>
!s = !rel.rel<[t: ?S, h: 8] x f32>
!w = !rel.rel<[h: 8, d: 64] x f32>
!sw = !rel.rel<[t: ?S, h: 8, d: 64] x f32>

rel.table @p : !p = dense<1.0> : tensor<511x8xf32>
rel.table @w : !w = dense<1.0> : tensor<8x64xf32>

// Tests that a slice of unknown length does not enlarge: it stays below a product
// of tables, all of which would be computed and stored otherwise.
// CHECK-LABEL: func.func @slice_of_table
// CHECK: %[[SLICE:.+]] = rel.rekey %{{.+}} [p = "#t + 255"]
// CHECK: %[[J:.+]] = rel.join %[[SLICE]], %{{.+}} : {{.*}} -> !rel.rel<[t: ?S, h: 8, d: 64] x f32>
// CHECK: return %[[J]]
func.func @slice_of_table() -> !sw {
  %p = rel.scan @p : !p
  %w = rel.scan @w : !w
  %s = rel.rekey %p [p = "#t + 255"] : !p -> !s
  %j = rel.join %s, %w : (!s, !w) -> !sw {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  return %j : !sw
}
