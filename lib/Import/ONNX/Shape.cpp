//===- Shape.cpp - Shape operators ----------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

llvm::ArrayRef<OpEntry> joinery::onnx_import::shapeOps() { return {}; }
