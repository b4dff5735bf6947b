//===- SharedModel.cpp - A model as a shared object -----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/runtime/TestModel.h"

using namespace joinery::test;

/// The test sets the path where the store will be written.
extern "C" __attribute__((visibility("default"))) const JnObject *
joinery_object(void) {
  static TestObject object;
  if (!object.object.magic)
    makeObject(lookupProgram(getenv("JOINERY_TEST_STORE")), lookupKernels(),
               object);
  return &object.object;
}
