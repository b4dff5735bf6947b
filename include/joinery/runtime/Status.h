//===- Status.h - Success or a sentence -------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_RUNTIME_STATUS_H
#define JOINERY_RUNTIME_STATUS_H

#include "joinery/runtime/joinery.h"

#include <string>
#include <utility>

namespace joinery::runtime {

/// Success, or why not. Success allocates nothing.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(jn_status code, std::string message)
      : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == JN_OK; }
  jn_status code() const { return code_; }
  const std::string &message() const { return message_; }

private:
  jn_status code_ = JN_OK;
  std::string message_;
};

} // namespace joinery::runtime

/// Returns the status of `expression` from this function if it is an error.
#define JN_TRY(expression)                                                     \
  do {                                                                         \
    if (::joinery::runtime::Status jnStatus = (expression); !jnStatus.ok())    \
      return jnStatus;                                                         \
  } while (false)

#endif // JOINERY_RUNTIME_STATUS_H
