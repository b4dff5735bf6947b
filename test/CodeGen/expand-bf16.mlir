// RUN: joinery-opt %s --expand-bf16 | FileCheck %s

// Tests that rounding works on bits, and that only bits are moved.
// CHECK-LABEL: func.func @round
// CHECK: arith.bitcast %{{.+}} : f32 to i32
// CHECK-NOT: bf16
// CHECK: llvm.store %{{.+}}, %{{.+}} : i16, !llvm.ptr
func.func @round(%x: f32, %p: !llvm.ptr) {
  %0 = arith.truncf %x : f32 to bf16
  llvm.store %0, %p : bf16, !llvm.ptr
  return
}

// Tests values that conditions choose.
// CHECK-LABEL: func.func @choose
// CHECK-NOT: bf16
// CHECK: scf.if %{{.+}} -> (vector<8xi16>)
// CHECK: llvm.load %{{.+}} : !llvm.ptr -> vector<8xi16>
// CHECK-NOT: bf16
// CHECK: arith.shli
// CHECK: return
func.func @choose(%c: i1, %p: !llvm.ptr) -> vector<8xf32> {
  %zero = arith.constant dense<0.0> : vector<8xbf16>
  %0 = scf.if %c -> (vector<8xbf16>) {
    %1 = llvm.load %p : !llvm.ptr -> vector<8xbf16>
    scf.yield %1 : vector<8xbf16>
  } else {
    scf.yield %zero : vector<8xbf16>
  }
  %2 = arith.select %c, %0, %zero : vector<8xbf16>
  %3 = arith.extf %2 : vector<8xbf16> to vector<8xf32>
  return %3 : vector<8xf32>
}

// Tests that what holds no bf16 is left alone.
// CHECK-LABEL: func.func @other
// CHECK-NEXT: arith.addf
// CHECK-NEXT: return
func.func @other(%x: f32) -> f32 {
  %0 = arith.addf %x, %x : f32
  return %0 : f32
}
