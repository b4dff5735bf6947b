// RUN: joinery-opt %s --lower-to-llvm | FileCheck %s

// Tests that private functions with a body become internal to the object, and
// that the level they are compiled for survives.
// CHECK: llvm.func internal @helper(%{{.+}}: !llvm.ptr) attributes {{.*}}passthrough = {{\[\[}}"target-cpu", "x86-64-v4"]]
func.func private @helper(%p: !llvm.ptr)
    attributes {passthrough = [["target-cpu", "x86-64-v4"]]} {
  return
}

// Tests that a loop with vectors in its hands becomes blocks, and that
// accumulation stays a fused multiply-add.
// CHECK-LABEL: llvm.func @dot
// CHECK:         llvm.br ^[[HEAD:.+]](
// CHECK:       ^[[HEAD]](%{{.+}}: i64, %[[SUM:.+]]: vector<16xf32>)
// CHECK:         llvm.cond_br
// CHECK:         llvm.intr.fmuladd(%{{.+}}, %{{.+}}, %[[SUM]])
// CHECK:         llvm.call @helper
func.func @dot(%a: !llvm.ptr, %n: i64) {
  %zero = arith.constant dense<0.0> : vector<16xf32>
  %c0 = arith.constant 0 : i64
  %c16 = arith.constant 16 : i64
  %sum = scf.for %i = %c0 to %n step %c16 iter_args(%acc = %zero)
      -> (vector<16xf32>) : i64 {
    %p = llvm.getelementptr %a[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %x = llvm.load %p {alignment = 4 : i64} : !llvm.ptr -> vector<16xf32>
    %next = vector.fma %x, %x, %acc : vector<16xf32>
    scf.yield %next : vector<16xf32>
  }
  llvm.store %sum, %a {alignment = 4 : i64} : vector<16xf32>, !llvm.ptr
  func.call @helper(%a) : (!llvm.ptr) -> ()
  return
}

// Tests that a mask of the first lanes becomes a comparison of 32-bit lanes.
// CHECK-LABEL: llvm.func @mask
// CHECK:         llvm.icmp "{{slt|sgt}}" %{{.+}}, %{{.+}} : vector<16xi32>
// CHECK:         llvm.intr.masked.load
func.func @mask(%p: !llvm.ptr, %n: index) -> vector<16xf32> {
  %zero = arith.constant dense<0.0> : vector<16xf32>
  %mask = vector.create_mask %n : vector<16xi1>
  %0 = llvm.intr.masked.load %p, %mask, %zero {alignment = 4 : i32}
      : (!llvm.ptr, vector<16xi1>, vector<16xf32>) -> vector<16xf32>
  return %0 : vector<16xf32>
}
