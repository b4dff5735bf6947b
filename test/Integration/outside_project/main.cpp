// Opens two linked models and runs the first.
#include "encoder.h"
#include "other.h"

#include <cstdio>
#include <vector>

int main() {
  jn_error error;
  encoder_model *model = nullptr;
  encoder_context *context = nullptr;
  other_model *other = nullptr;
  if (encoder_open(ENCODER_STORE, &model, &error) != JN_OK ||
      other_open(OTHER_STORE, &other, &error) != JN_OK ||
      encoder_context_create(model, 2, &context, &error) != JN_OK) {
    std::fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  std::vector<float> x(2 * 10 * 64, 0.5f), y(x.size());
  int64_t shape[] = {2, 10, 64}, outShape[] = {2, 10, 64};
  DLTensor in = {};
  in.data = x.data();
  in.device = {kDLCPU, 0};
  in.ndim = 3;
  in.dtype = {kDLFloat, 32, 1};
  in.shape = shape;
  DLTensor out = in;
  out.data = y.data();
  out.shape = outShape;
  encoder_inputs inputs = {};
  inputs.x = &in;
  encoder_outputs outputs = {};
  outputs.last_hidden_state = &out;
  jn_status status = encoder_run(context, &inputs, &outputs, &error);
  if (status != JN_OK)
    std::fprintf(stderr, "%s\n", error.message);
  else
    std::printf("outside: %.4f %.4f\n", y.front(), y.back());

  // The store of one model is not the other's.
  other_model *wrong = nullptr;
  if (other_open(ENCODER_STORE, &wrong, &error) == JN_OK)
    return 2;
  std::printf("refused: %s\n", error.message);
  encoder_context_destroy(context);
  encoder_close(model);
  other_close(other);
  return status == JN_OK ? 0 : 1;
}
