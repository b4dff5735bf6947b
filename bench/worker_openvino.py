"""OpenVINO as a peer: f32, bf16, and int8 as NNCF quantises a transformer."""

import numpy as np
import openvino
import openvino.properties.hint as hint

import worker

CALIBRATION = {"batches": 16, "size": 2, "length": 64}
TYPES = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16, "int8": openvino.Type.f32}


def calibration(model):
    """Random inputs as the model's signature asks for them."""
    rng = np.random.default_rng(0)
    size, length = CALIBRATION["size"], CALIBRATION["length"]
    vocabulary = max(op.output(0).partial_shape[0].get_length() for op in model.get_ops()
                     if op.get_type_name() == "Constant" and op.output(0).partial_shape.rank.get_length() == 2)
    for _ in range(CALIBRATION["batches"]):
        given = {}
        for port in model.inputs:
            if port.element_type == openvino.Type.f32:
                width = port.partial_shape[-1].get_length()
                given[port.any_name] = rng.standard_normal((size, length, width), dtype=np.float32)
            elif port.any_name == "input_ids":
                given[port.any_name] = rng.integers(1, vocabulary, (size, length))
            else:
                given[port.any_name] = np.full((size, length), port.any_name == "attention_mask", np.int64)
        yield given


def prepare(variant, source, target):
    import nncf

    model = openvino.Core().read_model(source)
    data = nncf.Dataset(list(calibration(model)))
    quantised = nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=CALIBRATION["batches"])
    openvino.save_model(quantised, target, compress_to_fp16=False)
    return {"files": [str(target), str(target.with_suffix(".bin"))]}


def load(variant, model, inputs, threads):
    compiled = openvino.Core().compile_model(model, "CPU", {
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        hint.inference_precision: TYPES[variant],
        openvino.properties.inference_num_threads: threads,
        openvino.properties.num_streams: 1,
    })
    request = compiled.create_infer_request()

    def run():
        outputs = request.infer(inputs, share_inputs=True, share_outputs=True)
        return {"last_hidden_state": outputs[0]}

    return run, openvino.__version__


worker.main(load, prepare)
