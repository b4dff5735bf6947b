// RUN: joinery-opt --plan=bf16 %s | FileCheck %s
// RUN: joinery-opt --plan=bf16 --fuse --lower=level=avx2 %s | FileCheck %s --check-prefix=DECODE
// RUN: joinery-opt --plan=bf16 --fuse --lower=level=avx512_bf16 %s | FileCheck %s --check-prefix=PAIRS
// RUN: joinery-opt --plan=bf16 --fuse --lower=level=amx %s | FileCheck %s --check-prefix=TILES

!x = !rel.rel<[s: ?S, h: 3, d: 21] x f32>
!w = !rel.rel<[h: 3, d: 21, n: 96] x f32>
!p = !rel.rel<[s: ?S, h: 3, d: 21, n: 96] x f32>
!y = !rel.rel<[s: ?S, n: 96] x f32>

rel.table @w : !w from "m.onnx" at 0 length 24192

// Tests that a weight is rounded before it is stored, as pairs along one folded
// column, and widened where it is read; the result stays f32.
// CHECK-LABEL: func.func @main
// CHECK: %[[PANELS:.+]] = rel.rekey %{{.+}} [n = "#j", h = "(#k floordiv 21)", d = "(#k mod 21)"]
// CHECK: %[[HALF:.+]] = rel.join %[[PANELS]]
// CHECK: arith.truncf %{{.+}} : f32 to bf16
// CHECK: %[[TABLE:.+]] = rel.materialize %[[HALF]] by "table" : <[k: 63, j: 96] x bf16> -> <[k: 63, j: 96] x bf16, ["j/48", "k/2", "j%48", "k%2"]>
// CHECK: %[[WIDE:.+]] = rel.join %[[TABLE]]
// CHECK: arith.extf %{{.+}} : bf16 to f32
// CHECK: rel.rekey %[[WIDE]] [j = "#n", k = "#d + 21 * #h"]
// CHECK: by "contraction"
// CHECK-SAME: -> <[s: ?S, n: 96] x f32, ["s", "n"]>

// Tests that a level without products of bf16 decodes lanes with a shift and a
// mask, and that one with them rounds each block of rows once.
// DECODE: func.func private @jn_gemm_decode_bf16x48_avx2
// DECODE: arith.shli
// DECODE: vector.fma
// DECODE: arith.andi
// PAIRS: func.func private @jn_gemm_bf16x48_avx512_bf16
// PAIRS: llvm.x86.avx512bf16.dpbf16ps.512
// PAIRS: func.func private @k0_avx512_bf16
// PAIRS: scf.for
// PAIRS: call @jn_pack_bf16_avx512_bf16
// PAIRS: scf.for
// PAIRS: call @jn_gemm_bf16x48_avx512_bf16

// Tests that tiles take what k leaves over as one more step: rows of the block end
// in zeros, and the panel's last 16 pairs are copied, the very last with zeros.
// TILES-NOT: call @jn_gemm
// TILES: func.func private @k0_amx
// TILES: scf.for
// TILES: llvm.store %{{.+}}, %{{.+}} : vector<16xf32>, !llvm.ptr
// TILES: call @jn_pack_bf16_amx
// TILES: scf.for %{{.+}} = %c16_i64{{.*}} to %c32_i64
// TILES-COUNT-2: llvm.load
// TILES-COUNT-4: llvm.x86.tdpbf16ps.internal
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?S", "3", "21"]})
    -> (!y {rel.name = "y", rel.shape = ["?S", "96"], rel.dims = [["s"], ["n"]]}) {
  %w = rel.scan @w : !w
  %p = rel.join %x, %w : (!x, !w) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %sum = rel.aggregate sum %p over [h, d] : (!p) -> !y
  return %sum : !y
}
