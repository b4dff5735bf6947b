//===- PipeOps.td - Fused pipelines ------------------------*- tablegen -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_PIPE_OPS_TD
#define JOINERY_PIPE_OPS_TD

include "dialects/Rel/RelTypes.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/IR/RegionKindInterface.td"

def Pipe_Dialect : Dialect {
  let name = "pipe";
  let cppNamespace = "::joinery::pipe";
  let summary = "Fused pipelines: one loop nest from sources to a breaker";
  let description = [{
    A kernel is one loop nest. Its body is the logical plan that the nest
    computes; its operands are stored relations. Kernels that are equal up to
    the names of columns are one kernel, so the layers of a model share code.
  }];
}

class Pipe_Op<string mnemonic, list<Trait> traits = []>
    : Op<Pipe_Dialect, mnemonic, traits>;

def Pipe_KernelOp : Pipe_Op<"kernel", [Symbol, IsolatedFromAbove, SingleBlock]> {
  let summary = "One loop nest, from stored relations to a stored relation";
  let description = [{
    ```mlir
    pipe.kernel @k0 by "contraction" {
    ^bb0(%x: !rel.rel<[s: ?S, k: 64] x f32, ["s", "k"]>, ...):
      ...
      pipe.yield %y : !rel.rel<[s: ?S, n: 64] x f32, ["s", "n"]>
    }
    ```
    The block arguments and the yielded relation have layouts; what lies between
    them has not, for it is never stored.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$algorithm,
                       OptionalAttr<DictionaryAttr>:$design);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $sym_name `by` $algorithm (`with` $design^)? $body attr-dict
  }];
  let hasVerifier = 1;
}

def Pipe_YieldOp : Pipe_Op<"yield", [Pure, Terminator, ReturnLike]> {
  let summary = "The relation that a kernel stores";
  let arguments = (ins Rel_RelType:$value);
  let assemblyFormat = "$value `:` type($value) attr-dict";
}

def Pipe_RunOp : Pipe_Op<"run", [Pure,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Runs a kernel over stored relations";
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<Rel_RelType>:$inputs);
  let results = (outs Rel_RelType:$result);
  let assemblyFormat = [{
    $kernel `(` $inputs `)` `:` functional-type($inputs, $result) attr-dict
  }];
}

#endif
