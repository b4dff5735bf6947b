//===- Activations.cpp - Activation functions
//------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Building.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

static LogicalResult activation(Importer &im,
                                llvm::function_ref<Element(Element)> body) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x)
    return failure();
  return setResult(im, mapUnary(im, *x, x->onnxType, body));
}

/// log(1 + exp(x)) without overflow.
static Element softplus(Element a) {
  Element tail = exp(-abs(a));
  return maximum(a, a.constant(0)) + a.op<math::Log1pOp>(tail.value);
}

static Element positive(Element a) { return less(a.constant(0), a); }
static Element minusOne(Element a) { return a.op<math::ExpM1Op>(a.value); }

static LogicalResult importRelu(Importer &im) {
  const Tensor *x = required(im, 0);
  if (!x)
    return failure();
  return setResult(im, mapUnary(im, *x, x->onnxType, [](Element a) {
                     return maximum(a, a.constant(0));
                   }));
}
static LogicalResult importSigmoid(Importer &im) {
  return activation(im, [](Element a) { return sigmoid(a); });
}
static LogicalResult importSoftplus(Importer &im) {
  return activation(im, softplus);
}
static LogicalResult importSoftsign(Importer &im) {
  return activation(im, [](Element a) { return a / (1.0 + abs(a)); });
}
static LogicalResult importMish(Importer &im) {
  return activation(im, [](Element a) { return a * tanh(softplus(a)); });
}
static LogicalResult importHardSwish(Importer &im) {
  return activation(im, [](Element a) {
    Element gate =
        maximum(a.constant(0), minimum(a.constant(1), a * (1.0 / 6) + 0.5));
    return a * gate;
  });
}
static LogicalResult importHardSigmoid(Importer &im) {
  double alpha = im.node().getFloat("alpha", 0.2),
         beta = im.node().getFloat("beta", 0.5);
  return activation(im, [=](Element a) {
    return maximum(a.constant(0), minimum(a.constant(1), alpha * a + beta));
  });
}
static LogicalResult importLeakyRelu(Importer &im) {
  double alpha = im.node().getFloat("alpha", 0.01);
  return activation(im, [=](Element a) {
    return leakyRelu(a, alpha);
  });
}
static LogicalResult importElu(Importer &im) {
  double alpha = im.node().getFloat("alpha", 1);
  return activation(im, [=](Element a) {
    return less(a, a.constant(0)).select(alpha * minusOne(a), a);
  });
}
static LogicalResult importSelu(Importer &im) {
  double alpha = im.node().getFloat("alpha", 1.67326319217681884765625),
         gamma = im.node().getFloat("gamma", 1.05070102214813232421875);
  return activation(im, [=](Element a) {
    return gamma * positive(a).select(a, alpha * minusOne(a));
  });
}
static LogicalResult importCelu(Importer &im) {
  double alpha = im.node().getFloat("alpha", 1);
  return activation(im, [=](Element a) {
    Element zero = a.constant(0);
    return maximum(zero, a) + minimum(zero, alpha * minusOne(a / alpha));
  });
}
static LogicalResult importThresholdedRelu(Importer &im) {
  double alpha = im.node().getFloat("alpha", 1);
  return activation(im, [=](Element a) {
    return less(a.constant(alpha), a).select(a, a.constant(0));
  });
}
static LogicalResult importShrink(Importer &im) {
  double bias = im.node().getFloat("bias", 0),
         lambda = im.node().getFloat("lambd", 0.5);
  return activation(im, [=](Element a) {
    Element high = less(a.constant(lambda), a),
            low = less(a, a.constant(-lambda));
    return low.select(a + bias, high.select(a - bias, a.constant(0)));
  });
}
static LogicalResult importPRelu(Importer &im) {
  const Tensor *x = required(im, 0), *slope = required(im, 1);
  if (!x || !slope)
    return failure();
  if (slope->rank() > x->rank())
    return im.refuse("a slope of rank " + Twine(slope->rank()));
  return setResult(
      im, mapBinary(im, *x, *slope, x->onnxType, [](Element a, Element b) {
        return less(a, a.constant(0)).select(b * a, a);
      }));
}
static LogicalResult importGelu(Importer &im) {
  std::string form = im.node().getString("approximate", "none");
  if (form == "none")
    return activation(im, [](Element a) { return gelu(a); });
  if (form == "tanh")
    return activation(im, [](Element a) { return geluTanh(a); });
  return im.refuse("approximate = '" + form + "' is not known");
}
static LogicalResult importSwish(Importer &im) {
  double alpha = im.node().getFloat("alpha", 1);
  return activation(
      im, [=](Element a) { return a * sigmoid(alpha == 1 ? a : alpha * a); });
}

static const OpEntry table[] = {
    {"", "Celu", 12, 0, importCelu, ""},
    {"", "Elu", 1, 0, importElu, ""},
    {"", "Gelu", 20, 0, importGelu, ""},
    {"", "HardSigmoid", 1, 0, importHardSigmoid, ""},
    {"", "HardSwish", 14, 0, importHardSwish, ""},
    {"", "LeakyRelu", 1, 0, importLeakyRelu, ""},
    {"", "Mish", 18, 0, importMish, ""},
    {"", "PRelu", 1, 0, importPRelu, ""},
    {"", "Relu", 1, 0, importRelu, ""},
    {"", "Selu", 1, 0, importSelu, ""},
    {"", "Shrink", 9, 0, importShrink, "floats only"},
    {"", "Sigmoid", 1, 0, importSigmoid, ""},
    {"", "Softplus", 1, 0, importSoftplus, ""},
    {"", "Softsign", 1, 0, importSoftsign, ""},
    {"", "Swish", 24, 0, importSwish, ""},
    {"", "ThresholdedRelu", 10, 0, importThresholdedRelu, ""},
};

ArrayRef<OpEntry> onnx_import::activationOps() { return table; }
