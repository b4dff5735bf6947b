// RUN: joinery-opt --split-input-file --canonicalize %s | FileCheck %s

!x = !rel.rel<[h: 8, w: 8] x f32>
!y = !rel.rel<[h: 8, i: 3, w: 8] x f32>
!z = !rel.rel<[h: 8, i: 3, w: 8, j: 3] x f32>

// Tests that borders along one column after another are one rekey.
// CHECK-LABEL: func.func @borders
// CHECK-NEXT: %[[Z:.+]] = rel.rekey %arg0 [h = "#h + #i - 1", w = "#j + #w - 1"] else 0.0
// CHECK-NEXT: return %[[Z]]
func.func @borders(%x: !x) -> !z {
  %y = rel.rekey %x [h = "#h + #i - 1"] else 0.0 : f32 : !x -> !y
  %z = rel.rekey %y [w = "#w + #j - 1"] else 0.0 : f32 : !y -> !z
  return %z : !z
}

// -----

!x = !rel.rel<[h: 8, w: 8] x f32>
!y = !rel.rel<[h: 8, i: 3, w: 8] x f32>
!z = !rel.rel<[h: 8, i: 3, w: 8, j: 3] x f32>

// Tests that other defaults keep them apart.
// CHECK-LABEL: func.func @other_default
// CHECK: rel.rekey {{.*}} else 0.0
// CHECK: rel.rekey {{.*}} else 1.0
func.func @other_default(%x: !x) -> !z {
  %y = rel.rekey %x [h = "#h + #i - 1"] else 0.0 : f32 : !x -> !y
  %z = rel.rekey %y [w = "#w + #j - 1"] else 1.0 : f32 : !y -> !z
  return %z : !z
}

// -----

!x = !rel.rel<[h: 8] x f32>
!y = !rel.rel<[h: 4] x f32>
!z = !rel.rel<[h: 6] x f32>

// Tests that a border around a slice stays: beyond the slice there is more of the
// input, which the composed key would read.
// CHECK-LABEL: func.func @border_of_slice
// CHECK: rel.rekey {{.*}} [h = "#h + 2"]
// CHECK: rel.rekey {{.*}} [h = "#h - 1"] else 0.0
func.func @border_of_slice(%x: !x) -> !z {
  %y = rel.rekey %x [h = "#h + 2"] : !x -> !y
  %z = rel.rekey %y [h = "#h - 1"] else 0.0 : f32 : !y -> !z
  return %z : !z
}

// -----

!x = !rel.rel<[h: 8] x f32>
!y = !rel.rel<[h: 4] x f32>
!z = !rel.rel<[h: 6] x f32>

// Tests the same where the slice is the input's beginning.
// CHECK-LABEL: func.func @border_of_prefix
// CHECK: rel.rekey
// CHECK: rel.rekey {{.*}} else 0.0
func.func @border_of_prefix(%x: !x) -> !z {
  %y = rel.rekey %x [h = "#h"] : !x -> !y
  %z = rel.rekey %y [h = "#h - 1"] else 0.0 : f32 : !y -> !z
  return %z : !z
}
