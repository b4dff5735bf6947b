// RUN: joinery-opt --plan --fuse %s | FileCheck %s --check-prefix=PIPE
// RUN: joinery-opt --plan --fuse --lower=level=avx512 %s | FileCheck %s
// RUN: joinery-opt --plan=bf16 --fuse --lower=level=avx512_bf16 %s | FileCheck %s --check-prefix=PAIRS
// RUN: joinery-opt --plan=bf16 --fuse --lower=level=amx %s | FileCheck %s --check-prefix=DIRECT

!q = !rel.rel<[b: ?B, n: 2, s: ?S, d: 32] x f32>
!k = !rel.rel<[b: ?B, n: 2, t: ?S, d: 32] x f32>
!v = !rel.rel<[b: ?B, n: 2, t: ?S, e: 32] x f32>
!p = !rel.rel<[b: ?B, n: 2, s: ?S, d: 32, t: ?S] x f32>
!sc = !rel.rel<[b: ?B, n: 2, s: ?S, t: ?S] x f32>
!m = !rel.rel<[b: ?B, t: ?S] x i1>
!c = !rel.rel<[b: ?B, n: 2, s: ?S, e: 32] x f32>

// Tests that attention is one pipeline, in which no relation over (s, t) is
// stored, and that a mask on keys becomes a list of the kept keys.
// PIPE: pipe.kernel @k0 by "attention"
// PIPE-NOT: pipe.kernel

// CHECK-LABEL: func.func private @k0_avx512
// The list of kept keys: each number is stored, and counted if it is kept.
// CHECK: scf.for {{.*}} iter_args(%[[COUNT:.+]] =
// CHECK: llvm.store %{{.+}} {alignment = 4 : i64} : i32, !llvm.ptr
// CHECK: arith.extui {{.*}} : i1 to i64
// CHECK: call @jn_transpose
// CHECK: call @jn_gemm
// CHECK: math.exp {{.*}} : vector<16xf32>
// CHECK: call @jn_gemm
// CHECK: return

// Tests that a level with products of bf16 rounds all operands to pairs, along
// the depth and along the keys, and leaves the softmax in f32.
// PAIRS-LABEL: func.func private @k0_avx512_bf16
// PAIRS: call @jn_copy_rows
// PAIRS: call @jn_pack_bf16
// PAIRS: call @jn_transpose
// PAIRS: call @jn_pack_rows_bf16
// PAIRS: call @jn_pack_bf16
// PAIRS: call @jn_gemm_bf16x48
// PAIRS: llvm.x86.avx512.mask.scalef.ps.512
// PAIRS: arith.truncf {{.*}} : vector<16xf32> to vector<16xbf16>
// PAIRS: call @jn_gemm_bf16x32
// PAIRS: return

// Tests that on tiles scores become weights in one pass without a maximum, two vectors
// at a time, and that a task whose sums leave their range is done again with one.
// DIRECT-LABEL: func.func private @k0_amx
// DIRECT: scf.for
// DIRECT: llvm.x86.tdpbf16ps.internal
// DIRECT-NOT: arith.cmpf
// DIRECT-COUNT-2: llvm.x86.avx512.mask.scalef.ps.512
// DIRECT: llvm.x86.avx512bf16.cvtne2ps2bf16.512
// DIRECT: llvm.x86.tdpbf16ps.internal
// DIRECT: arith.cmpf oge
// DIRECT: arith.cmpf ole
// DIRECT: scf.if
// DIRECT: scf.for
// DIRECT: llvm.x86.tdpbf16ps.internal
// DIRECT: arith.cmpf ogt
// DIRECT: llvm.x86.avx512.mask.scalef.ps.512
// DIRECT: return
func.func @main(
    %q: !q {rel.name = "q", rel.shape = ["?B", "2", "?S", "32"]},
    %k: !k {rel.name = "k", rel.shape = ["?B", "2", "?S", "32"]},
    %v: !v {rel.name = "v", rel.shape = ["?B", "2", "?S", "32"]},
    %m: !m {rel.name = "m", rel.shape = ["?B", "?S"]})
    -> (!c {rel.name = "c", rel.shape = ["?B", "2", "?S", "32"], rel.dims = [["b"], ["n"], ["s"], ["e"]]}) {
  %p = rel.join %q, %k : (!q, !k) -> !p {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %raw = rel.aggregate sum %p over [d] : (!p) -> !sc
  %sc = rel.select %raw where %m else 0xFF800000 : f32 : (!sc, !m) -> !sc
  %c = rel.aggregate softmax_sum %sc, %v over [t] : (!sc, !v) -> !c
  return %c : !c
}
