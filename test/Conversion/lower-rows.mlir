// RUN: joinery-opt --plan --fuse --lower=level=avx512 %s | FileCheck %s

!x = !rel.rel<[s: ?S, h: 64] x f32>
!heads = !rel.rel<[s: ?S, n: 4, d: 16] x f32>

// Tests that splitting and transposing keys costs no data movement of its own:
// the view becomes one contiguous vector load per vector of the result.
// CHECK-LABEL: func.func private @k0_avx512
// CHECK: scf.for
// CHECK: scf.for
// CHECK: llvm.load {{.*}} -> vector<16xf32>
// CHECK-NOT: llvm.intr.masked.gather
// CHECK: arith.negf {{.*}} : vector<16xf32>
// CHECK: llvm.store {{.*}} : vector<16xf32>
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?S", "64"]})
    -> (!heads {rel.name = "y", rel.shape = ["4", "?S", "16"], rel.dims = [["n"], ["s"], ["d"]]}) {
  %h = rel.rekey %x [h = "16 * #n + #d"] : !x -> !heads
  %y = rel.join %h : (!heads) -> !heads {
  ^bb0(%a: f32):
    %0 = arith.negf %a : f32
    rel.yield %0 : f32
  }
  return %y : !heads
}
