"""ONNX Runtime as a peer: the file as it is, optimised for transformers, in int8."""

import json

import onnxruntime

import worker


def optimised(source, target):
    from onnxruntime.transformers import optimizer

    heads, hidden = json.loads(source.with_suffix(".json").read_text())
    model = optimizer.optimize_model(
        str(source), "bert", num_heads=heads, hidden_size=hidden, opt_level=0)
    if not model.is_fully_optimized():
        print(f"not everything was fused: {model.get_fused_operator_statistics()}")
    model.save_model_to_file(str(target))


def prepare(variant, source, target):
    optimised(source, target)
    if variant == "int8":
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        # Shape inference does not know the types of the fused operators' results.
        known = {"DefaultTensorType": onnx.TensorProto.FLOAT}
        quantize_dynamic(target, target, weight_type=QuantType.QInt8, extra_options=known)
    return {"files": [str(target)]}


def load(variant, model, inputs, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda: dict(zip(names, session.run(names, inputs))), onnxruntime.__version__


worker.main(load, prepare)
