"""The cases of ops_test.py."""

import itertools
import math

import numpy as np

import quantization_cases
from ops_test import MS, Case, f, i, random

NAMES = {2: "B", 5: "S"}
INF = float("inf")


def elementwise():
    x = f(2, 5, 3, scale=2)
    positive = np.abs(x) + np.float32(0.1)
    for op in "Abs Neg Erf Exp Sin Cos Tanh Sigmoid Relu LeakyRelu Elu Selu Celu Softplus".split():
        yield Case(op, [x], symbols=NAMES)
    for op in "Softsign HardSigmoid HardSwish ThresholdedRelu Sign Ceil Floor Round Sinh Cosh".split():
        yield Case(op, [x])
    for op in "Sqrt Log Reciprocal".split():
        yield Case(op, [positive])
    yield Case("Tan", [x * np.float32(0.3)])
    yield Case("Mish", [x], opset=18)
    yield Case("Round", [np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5], np.float32)])
    yield Case("Shrink", [x], {"bias": 0.3, "lambd": 0.7})
    for form in ("none", "tanh"):
        yield Case("Gelu", [x], {"approximate": form}, opset=20)
    swish = x / (1 + np.exp(-1.5 * x))
    yield Case("Swish", [x], {"alpha": 1.5}, opset=24, reference=[swish])
    yield Case("PRelu", [x, np.abs(f(3))])
    yield Case("Softplus", [np.array([-200, -1, 0, 1, 200], np.float32)])
    yield Case("Sigmoid", [np.array([-200, -1, 0, 1, 200], np.float32)])
    for op in "Add Sub Mul Div".split():
        yield Case(op, [x, f(5, 1)], symbols=NAMES)
        yield Case(op, [i(7, -7, 7, -7), i(2, 2, -2, -2)])
        yield Case(op, [x, x])
    yield Case("Add", [f(5, 1), f(1, 5)], symbols={5: "S"})
    yield Case("Add", [f(5, 1), f(5)], symbols={5: "S"})
    for exponent in (1.0, 2.0, 3.0, 0.5, -1.0, 1.7):
        yield Case("Pow", [positive, np.array(exponent, np.float32)], constants=(1,))
    yield Case("Pow", [x, i(2, 3, 1)])
    yield Case("Pow", [i(2, 3, -4), i(2, 3, 3)])
    yield Case("Mod", [i(7, -7, 7, -7, 6), i(3, 3, -3, -3, 3)])
    yield Case("Mod", [i(7, -7, 7, -7, 6), i(3, 3, -3, -3, 3)], {"fmod": 1})
    yield Case("Mod", [x, f(3)], {"fmod": 1})
    for op in "Min Max Sum Mean".split():
        yield Case(op, [x, f(5, 3), f(1)], symbols=NAMES)
    yield Case("Max", [i(1, -5, 3), i(2, -9, 3)])
    yield Case("Clip", [x], {"min": -0.5, "max": 0.7}, opset=7)
    yield Case("Clip", [x, np.array(-0.5, np.float32)], opset=13)
    yield Case("Clip", [x, None, np.array(0.5, np.float32)], opset=13)
    yield Case("Clip", [i(-5, 0, 5), np.array(-1), np.array(3)], opset=13)


def logic():
    x, y = f(2, 5, 3).round(), f(5, 3).round()
    for op in "Equal Less LessOrEqual Greater GreaterOrEqual".split():
        yield Case(op, [x, y], symbols=NAMES)
        yield Case(op, [i(1, 2, 3), i(3, 2, 1)])
    a, b = x > 0, y > 0
    for op in "And Or Xor".split():
        yield Case(op, [a, b], symbols=NAMES)
    yield Case("Not", [a])
    special = np.array([1, -INF, INF, math.nan], np.float32)
    yield Case("IsNaN", [special])
    yield Case("IsInf", [special])
    yield Case("IsInf", [special], {"detect_negative": 0})
    yield Case("IsInf", [special], {"detect_positive": 0})
    yield Case("Where", [b, x, f(1)], symbols=NAMES)
    yield Case("BitwiseAnd", [i(12, 7), i(10, 3)], opset=18)
    types = {np.dtype(t): k for t, k in
             (("float32", 1), ("int8", 3), ("int32", 6), ("int64", 7), ("bool", 9), ("float16", 10), ("float64", 11))}
    values = np.array([-3.7, -1, -0.5, 0, 0.5, 2.5, 100], np.float32)
    for source, target in itertools.permutations(types, 2):
        if (source, target) == (np.dtype("float16"), np.dtype("int8")):
            continue
        yield Case("Cast", [values.astype(source)], {"to": types[target]})
    yield Case("Cast", [i(-3, 7, 255, 257, 100001)], {"to": 16}, reference=[[-3, 7, 255, 256, 99840]])
    huge = np.array([-INF, -1e30, 1e30, INF], np.float32)
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    yield Case("Cast", [huge[:2]], {"to": 7}, reference=[i(low, low)])
    saturated = np.array([-2**31, -2**31, 2**31 - 1, 2**31 - 1], np.int32)
    yield Case("Cast", [huge], {"to": 6}, reference=[saturated])
    yield Case("Cast", [values], {"to": 8}, refused="string")
    yield Case("CastLike", [values, i(1)])


def reductions():
    x = f(2, 5, 4)
    for op in "Sum Mean Max Min Prod L1 L2 SumSquare LogSum LogSumExp".split():
        data = np.abs(x) + np.float32(0.1) if op == "LogSum" else x
        yield Case("Reduce" + op, [data], {"axes": [1], "keepdims": 0}, opset=11, symbols=NAMES)
        yield Case("Reduce" + op, [data, i(-1, 0)], opset=18, constants=(1,), symbols=NAMES)
        yield Case("Reduce" + op, [data], opset=18)
    yield Case("ReduceSum", [x, i(1)], opset=13, constants=(1,), symbols=NAMES)
    yield Case("ReduceSum", [x], {"noop_with_empty_axes": 1}, opset=13)
    yield Case("ReduceSum", [i(1, 2, 3).reshape(3, 1), i(0)], opset=13, constants=(1,))
    yield Case("ReduceMax", [np.array([[True, False], [False, False]]), i(1)], opset=20, constants=(1,))
    yield Case("ReduceLogSumExp", [np.array([[-INF, -INF], [0, 1]], np.float32), i(1)], opset=18, constants=(1,))
    for op in ("ArgMax", "ArgMin"):
        yield Case(op, [x.round()], {"axis": 1}, symbols=NAMES)
        yield Case(op, [x.round()], {"axis": -1, "keepdims": 0})
        yield Case(op, [x], {"axis": 1, "select_last_index": 1}, refused="select_last_index")
    for exclusive, reverse in itertools.product((0, 1), (0, 1)):
        yield Case("CumSum", [x, np.array(1)], {"exclusive": exclusive, "reverse": reverse},
                   constants=(1,), symbols=NAMES)
    yield Case("CumSum", [i(1, 2, 3, 4, 5), np.array(0)], constants=(1,), symbols=NAMES)
    yield Case("CumSum", [f(3, 1), np.array(1)], {"exclusive": 1}, constants=(1,))
    for largest, axis in itertools.product((0, 1), (1, -1)):
        yield Case("TopK", [x.round(), i(3)], {"axis": axis, "largest": largest}, constants=(1,), symbols=NAMES, outputs=2)
    yield Case("TopK", [i(3, 1, 3, 2, 3), i(5)], {"axis": 0}, constants=(1,), outputs=2)
    yield Case("TopK", [np.array([[-INF, 0, -INF], [INF, INF, 1]], np.float32), i(2)], constants=(1,), outputs=2)
    yield Case("TopK", [x], {"k": 2, "axis": 0}, opset=9, outputs=2)
    yield Case("TopK", [x, i(0)], constants=(1,), outputs=2)
    yield Case("TopK", [x, i(6)], constants=(1,), refused="number of elements k", outputs=2)
    yield Case("TopK", [x, i(2)], refused="depends on data", outputs=2)
    for p in (1, 2):
        yield Case("LpNormalization", [x], {"p": p, "axis": 1}, symbols=NAMES)
    yield Case("GlobalAveragePool", [f(2, 3, 5, 4)], symbols=NAMES)
    yield Case("GlobalMaxPool", [f(2, 3, 5, 4)])
    image = f(2, 3, 7, 5)
    for op in ("AveragePool", "MaxPool"):
        yield Case(op, [image], {"kernel_shape": [3, 2], "strides": [2, 1]}, symbols=NAMES)
        yield Case(op, [image], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]})
        yield Case(op, [image], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, opset=11)
        for extent in (4, 8, 9, 10):
            for pads in ([0, 0, 0, 0], [1, 0, 1, 0]):
                yield Case(op, [f(2, 3, extent, 5)], {"kernel_shape": [3, 1], "strides": [3, 1], "ceil_mode": 1,
                                                      "pads": pads}, opset=19, symbols={2: "B", extent: "T"})
        yield Case(op, [image], {"kernel_shape": [3, 2], "auto_pad": "SAME_UPPER"})
    yield Case("AveragePool", [image], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1})
    for pads in ([0, 0, 0, 0], [1, 1, 1, 1]):
        yield Case("AveragePool", [image], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1,
                                            "count_include_pad": 1, "pads": pads}, opset=19)
    yield Case("MaxPool", [image], {"kernel_shape": [2, 2], "dilations": [2, 2]})


def contractions():
    yield Case("MatMul", [f(2, 5, 4), f(4, 3)], symbols=NAMES)
    yield Case("MatMul", [f(2, 5, 4), f(4, 3)], constants=(1,), symbols=NAMES)
    yield Case("MatMul", [f(4), f(4, 3)])
    yield Case("MatMul", [f(2, 5, 4), f(4)], symbols=NAMES)
    yield Case("MatMul", [f(4), f(4)])
    yield Case("MatMul", [f(2, 1, 5, 4), f(3, 4, 5)], symbols=NAMES)
    yield Case("MatMul", [f(2, 5, 5), f(2, 5, 5)], symbols=NAMES)
    yield Case("MatMul", [f(5, 5), f(5, 5)], symbols={5: "S"})
    yield Case("MatMul", [f(5, 1), f(1, 5)], symbols={5: "S"})
    yield Case("MatMul", [i(1, 2, 3, 4).astype(np.int32).reshape(2, 2)] * 2)
    yield Case("MatMul", [f(5, 4), f(3, 5)], refused="differ")
    for ta, tb in itertools.product((0, 1), (0, 1)):
        a, b = f(5, 4), f(4, 3)
        attrs = {"transA": ta, "transB": tb, "alpha": 0.5, "beta": 2.0}
        yield Case("Gemm", [a.T.copy() if ta else a, b.T.copy() if tb else b, f(3)], attrs, symbols={5: "S"})
    yield Case("Gemm", [f(5, 4), f(4, 3), f(5, 1)])
    yield Case("Gemm", [f(5, 4), f(4, 3), f(1)], {"beta": 0.0})
    yield Case("Gemm", [f(5, 4), f(4, 3)])
    yield Case("FusedMatMul", [f(2, 5, 4), f(2, 5, 4)], {"transB": 1, "alpha": 0.25}, MS, symbols=NAMES)
    yield Case("FusedMatMul", [f(2, 4, 5), f(2, 4, 3)], {"transA": 1}, MS)
    yield Case("FusedMatMul", [f(2, 4, 5), f(2, 4, 3)], {"transBatchA": 1}, MS, refused="transBatchA")
    for activation in ("Relu", "Tanh", "Sigmoid"):
        yield Case("FusedGemm", [f(5, 4), f(4, 3), f(3)], {"activation": activation}, MS)
    einsums = {
        "ij,jk->ik": [(5, 4), (4, 3)], "ij,jk": [(5, 4), (4, 3)], "bij,bjk->bik": [(2, 5, 4), (2, 4, 3)],
        "bsnd,btnd->bnst": [(2, 5, 3, 4), (2, 5, 3, 4)], "bnst,btnd->bsnd": [(2, 3, 5, 5), (2, 5, 3, 4)],
        "...ij,...jk->...ik": [(2, 5, 4), (2, 4, 3)], "...ij,jk": [(2, 5, 4), (4, 3)],
        "ii->i": [(5, 5)], "ii": [(5, 5)], "ij->ji": [(5, 4)], "ij->": [(5, 4)], "bij,bi->bj": [(2, 5, 4), (2, 5)],
        "i,j->ij": [(5,), (4,)], "ij,jk,kl->il": [(5, 4), (4, 3), (3, 2)], "bii,bij->bj": [(2, 5, 5), (2, 5, 4)],
        "ij,k->i": [(5, 4), (3,)],
    }
    for equation, shapes in einsums.items():
        yield Case("Einsum", [f(*shape) for shape in shapes], {"equation": equation}, symbols=NAMES)


def convolutions():
    line, image = f(2, 4, 9), f(2, 4, 7, 9)
    names = {2: "B", 9: "T"}
    yield Case("Conv", [line, f(6, 4, 3)], symbols=names)
    yield Case("Conv", [line, f(6, 4, 3), f(6)], {"pads": [1, 2], "strides": [2]}, symbols=names)
    yield Case("Conv", [line, f(6, 4, 3), f(6)], {"dilations": [2], "pads": [2, 2]}, symbols=names)
    yield Case("Conv", [line, f(6, 2, 3), f(6)], {"group": 2, "pads": [1, 1]}, symbols={9: "T"})
    yield Case("Conv", [line, f(4, 1, 3)], {"group": 4, "pads": [1, 1]}, symbols=names)
    yield Case("Conv", [line, f(8, 1, 3)], {"group": 4})
    yield Case("Conv", [line, f(6, 4, 1)], symbols=names)
    yield Case("Conv", [f(2, 1, 9), f(6, 1, 3)], symbols=names)
    yield Case("Conv", [f(2, 4, 1), f(6, 4, 3)], {"pads": [1, 1]})
    for mode in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        for stride in (1, 2):
            yield Case("Conv", [line, f(6, 4, 4)], {"auto_pad": mode, "strides": [stride]}, symbols=names)
    yield Case("Conv", [image, f(6, 4, 3, 2), f(6)], {"pads": [1, 0, 2, 1], "strides": [2, 3]}, symbols={9: "T", 7: "U"})
    yield Case("Conv", [f(1, 3, 8, 8), f(5, 3, 4, 4), f(5)], {"strides": [4, 4]})
    yield Case("Conv", [f(2, 4, 3, 5, 4), f(6, 4, 2, 3, 1)], {"pads": [0, 1, 0, 0, 1, 0]})
    yield Case("Conv", [line, f(6, 3, 3)], refused="channels")


def normalizations():
    x = f(2, 5, 6)
    for op in ("Softmax", "LogSoftmax"):
        yield Case(op, [x], opset=11, symbols=NAMES)
        yield Case(op, [x], {"axis": 2}, opset=11)
        yield Case(op, [x], symbols=NAMES)
        yield Case(op, [x], {"axis": 1}, symbols=NAMES)
    yield Case("LayerNormalization", [x, f(6), f(6)], {"epsilon": 1e-6}, symbols=NAMES)
    yield Case("LayerNormalization", [x, f(6)], outputs=3, symbols=NAMES)
    yield Case("LayerNormalization", [x, f(5, 6), f(5, 6)], {"axis": 1})
    yield Case("RMSNormalization", [x, f(6)], opset=23, symbols=NAMES)
    yield Case("SimplifiedLayerNormalization", [x, f(6)], {"epsilon": 1e-6}, outputs=2)
    rms = np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
    yield Case("SimplifiedLayerNormalization", [x, np.ones(6, np.float32)], {"epsilon": 1e-6}, MS,
               outputs=2, reference=[x / rms, 1 / rms])
    image = f(2, 6, 4, 5)
    vectors = [f(6), f(6), f(6), np.abs(f(6)) + np.float32(0.1)]
    yield Case("BatchNormalization", [image, *vectors], symbols=NAMES)
    yield Case("BatchNormalization", [image, *vectors], {"training_mode": 1}, refused="training_mode")
    yield Case("InstanceNormalization", [image, f(6), f(6)], symbols=NAMES)
    yield Case("GroupNormalization", [image, f(6), f(6)], {"num_groups": 3}, opset=21, symbols=NAMES)
    yield Case("MeanVarianceNormalization", [image])
    yield Case("SkipLayerNormalization", [x, f(2, 5, 6), f(6), f(6)], {}, MS, symbols=NAMES)
    yield Case("SkipLayerNormalization", [x, f(2, 5, 6), f(6), f(6), f(6)], {"epsilon": 1e-5}, MS,
               outputs=4, wanted=(0, 3), symbols=NAMES)
    yield Case("SkipLayerNormalization", [x, f(1, 5, 6), f(6), None, f(6)], {}, MS)
    yield Case("SkipSimplifiedLayerNormalization", [x, f(2, 5, 6), f(6), f(6)], {"epsilon": 1e-5}, MS,
               outputs=4, wanted=(0, 3))
    ids = random.integers(0, 9, (2, 5)).astype(np.int32)
    kinds = random.integers(0, 2, (2, 5)).astype(np.int32)
    tables = [f(9, 6), f(8, 6), f(3, 6), f(6), f(6)]
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
    stored = (2, 3, 4, 5, 6)
    yield Case("EmbedLayerNormalization", [ids, kinds, *tables, mask], {}, MS, outputs=2,
               constants=stored, symbols=NAMES)
    yield Case("EmbedLayerNormalization", [ids, None, *tables[:2], None, *tables[3:], mask], {"epsilon": 1e-5},
               MS, outputs=3, constants=stored, symbols=NAMES)
    yield Case("EmbedLayerNormalization", [ids, kinds, *tables, None, kinds], {}, MS, outputs=2,
               constants=stored)
    for op, inputs in (("Gelu", [x]), ("BiasGelu", [x, f(6)]), ("FastGelu", [x]), ("FastGelu", [x, f(6)]),
                       ("QuickGelu", [x])):
        yield Case(op, inputs, {}, MS, symbols=NAMES)
    yield Case("QuickGelu", [x], {"alpha": 1.0}, MS)


def attention():
    B, N, S, T, D, E = 2, 4, 5, 7, 3, 6
    names = {2: "B", 5: "S", 7: "T"}
    q, k, v = f(B, N, S, D), f(B, N, T, D), f(B, N, T, E)
    kg, vg = f(B, 2, T, D), f(B, 2, T, E)
    merged = [x.transpose(0, 2, 1, 3).reshape(B, x.shape[2], -1).copy() for x in (q, k, v)]
    groups = [x.transpose(0, 2, 1, 3).reshape(B, T, -1).copy() for x in (kg, vg)]
    heads = {"q_num_heads": 4, "kv_num_heads": 4}
    keep = random.random((B, 1, S, T)) > 0.4
    keep[0, 0, 0] = False
    bias = f(S, T)

    def attn(inputs, attrs={}, **rest):
        return Case("Attention", inputs, attrs, opset=23, **rest)

    yield attn([q, k, v], symbols=names)
    yield attn(merged, heads, symbols=names)
    yield attn([q, k, v], {"scale": 0.3, "softcap": 2.0})
    yield attn([q, k, v, keep], symbols=names)
    yield attn([q, k, v, keep[0, 0]])
    yield attn([q, k, v, bias], {"softcap": 1.0})
    yield attn([q, k, v, f(B, N, S, T)], symbols=names)
    yield attn([q, q, q], {"is_causal": 1}, symbols=names)
    yield attn([q, k, v], {"is_causal": 1})
    yield attn([q, kg, vg], symbols={5: "S", 7: "T"})
    yield attn([merged[0], *groups], {"q_num_heads": 4, "kv_num_heads": 2}, symbols=names)
    yield attn([merged[0], *groups, bias], {"q_num_heads": 4, "kv_num_heads": 2, "is_causal": 1})
    yield attn([q, f(B, 1, T, D), f(B, 1, T, E)])
    yield attn([q, k, v, None, k, v], refused="past_key")
    yield attn([q, k, v], outputs=4, wanted=(0, 3), refused="qk_matmul_output")

    H = N * D
    x, w, b = f(B, S, H), f(H, 3 * H), f(3 * H)
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
    lengths = np.array([5, 3], np.int32)
    cube = (random.random((B, S, S)) > 0.3).astype(np.int32)
    stored = (1, 2)

    def contrib(inputs, attrs={}, **rest):
        rest.setdefault("symbols", names)
        return Case("Attention", inputs, {"num_heads": N, **attrs}, MS, constants=stored, **rest)

    yield contrib([x, w, b])
    yield contrib([x, w])
    for m in (mask, lengths, cube):
        yield contrib([x, w, b, m])
    yield contrib([x, w, b, mask], {"unidirectional": 1, "mask_filter_value": -5.0, "scale": 0.7})
    yield contrib([x, w, b, mask, None, f(B, N, S, S)])
    yield contrib([x, w, b, mask, None, f(1, 1, S, S)])
    yield contrib([x, w, b, np.concatenate([lengths, 0 * lengths])], symbols={}, refused="starts")
    yield contrib([x, f(H, 2 * H + 8), f(2 * H + 8)], {"qkv_hidden_sizes": [H, H, 8]})
    yield contrib([x, w, b, None, f(2, B, N, 2, D)], refused="past")

    def mha(inputs, attrs={}, **rest):
        return Case("MultiHeadAttention", inputs, {"num_heads": N, **attrs}, MS, **rest)

    hq, hk, hv = f(B, S, H), f(B, T, H), f(B, T, N * E)
    padding = np.array([[1] * 7, [1] * 4 + [0] * 3], np.int32)
    yield mha([hq, hk, hv], symbols=names)
    yield mha([hq, hk, hv, f(2 * H + N * E)], symbols=names)
    yield mha([hq, hk, hv, None, padding], symbols=names)
    yield mha([hq, hk, hv, None, np.array([7, 4], np.int32)], symbols=names)
    yield mha([hq, hk, hv, None, padding, f(1, N, S, T)], {"scale": 0.5}, symbols=names)
    yield mha([hq, k, f(B, N, T, D)], symbols=names)

    def plain(q, k, v):
        """Of [B, S, N, D] each."""
        scores = np.einsum("bsnd,btnd->bnst", q, k) / math.sqrt(D)
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        weights = powers / powers.sum(-1, keepdims=True)
        return np.einsum("bnst,btnd->bsnd", weights, v).reshape(B, S, -1)

    # ONNX Runtime has no kernel for packed operands on the CPU.
    kv, qkv = f(B, T, N, 2, D), f(B, S, N, 3, D)
    yield mha([hq, kv], symbols={5: "S", 7: "T"},
              reference=[plain(hq.reshape(B, S, N, D), kv[..., 0, :], kv[..., 1, :])])
    yield mha([qkv], symbols={5: "S"}, reference=[plain(*(qkv[..., p, :] for p in range(3)))])
    yield mha([hq, hq, f(B, S, H)], {"unidirectional": 1}, symbols=names)


def rotary():
    B, N, S, D, P = 2, 3, 5, 8, 11
    angles = random.random((P, D // 2)).astype(np.float32) * 3
    cos, sin = np.cos(angles), np.sin(angles)
    ids = random.integers(0, P, (B, S))
    x = f(B, N, S, D)
    flat = x.transpose(0, 2, 1, 3).reshape(B, S, N * D).copy()
    for interleaved in (0, 1):
        attrs = {"interleaved": interleaved}
        yield Case("RotaryEmbedding", [x, cos, sin, ids], attrs, opset=23, constants=(1, 2), symbols=NAMES)
        yield Case("RotaryEmbedding", [x, cos[ids], sin[ids]], attrs, opset=23, symbols=NAMES)
        yield Case("RotaryEmbedding", [flat, cos, sin, ids], {"num_heads": N, **attrs}, opset=23,
                   constants=(1, 2), symbols=NAMES)
        part = {"rotary_embedding_dim": 4, "num_heads": N, **attrs}
        yield Case("RotaryEmbedding", [x, cos[:, :2].copy(), sin[:, :2].copy(), ids], part, opset=23)
        yield Case("RotaryEmbedding", [x, ids, cos, sin], attrs, MS, constants=(2, 3), symbols=NAMES)
        yield Case("RotaryEmbedding", [flat, ids, cos, sin], attrs, MS, constants=(2, 3), symbols=NAMES)
        yield Case("RotaryEmbedding", [flat, i(3), cos, sin], attrs, MS, constants=(2, 3), symbols=NAMES)


def one_hot():
    for place in (2, -1, 4):
        yield Case("OneHot", [i(place), np.array(4), i(1, 7)], constants=(0, 1, 2))
    yield Case("OneHot", [i(2, 0, -1), np.array(3), f(2)], {"axis": 0}, constants=(1, 2))
    yield Case("OneHot", [i(2, 0), np.array(3), f(2)], constants=(1,), refused="depend on data")


def positions():
    """Where a constant is not zero; and what is written counted from the end."""
    yield Case("NonZero", [np.array([[0, 3, 0], [1, 0, 2]], np.float32)], constants=(0,))
    yield Case("NonZero", [np.array([True, False, True])], constants=(0,))
    yield Case("NonZero", [f(5)], refused="depends on data")
    yield Case("NonZero", [np.zeros(3, np.float32)], constants=(0,), refused="no element")
    updates = f(1, 4)
    yield Case("ScatterND", [f(5, 4), np.array([[-1]]), updates], constants=(1,))
    yield Case("ScatterND", [f(5, 4), np.array([[-6]]), updates], constants=(1,), refused="indices")


def depths():
    """Blocks of pixels as depth and back, with either at the front."""
    image, deep = f(2, 3, 4, 6), f(2, 12, 2, 3)
    cells = image.reshape(2, 3, 2, 2, 3, 2)
    for mode, order in (("DCR", (0, 3, 5, 1, 2, 4)), ("CRD", (0, 1, 3, 5, 2, 4))):
        attrs = {"blocksize": 2, "mode": mode}
        yield Case("DepthToSpace", [deep], attrs, symbols={2: "B"})
        # The mode is of opset 28, which ONNX Runtime may not know.
        yield Case("SpaceToDepth", [image], attrs, symbols={2: "B"},
                   reference=[cells.transpose(order).reshape(2, 12, 2, 3)])
    yield Case("SpaceToDepth", [image], {"blocksize": 2}, symbols={2: "B"})
    for op, x in (("DepthToSpace", deep), ("SpaceToDepth", image)):
        yield Case(op, [x], {"blocksize": 2, "mode": "RCD"}, refused="mode 'RCD'")


def lookups():
    # Index tuples as exporters fold them: rows in order, and in an order that no formula gives.
    for length in (9, 700):
        data = f(3, length)
        for order in (np.arange(length), random.permutation(length), length - 1 - np.arange(length)):
            rows = np.stack([np.full_like(order, 2), order], -1)
            yield Case("GatherND", [data, rows.reshape(1, 1, length, 2)], constants=(1,))
            yield Case("GatherND", [data, rows], constants=(1,), symbols={3: "B"})
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(6), indexing="ij"), -1)
    yield Case("GatherND", [f(4, 6, 5), grid], constants=(1,), symbols=NAMES)
    yield Case("GatherND", [f(4, 6, 5), grid[::-1, 1:] - np.array([0, 6])], constants=(1,))
    yield Case("GatherND", [f(2, 4, 5), np.array([[[3], [0], [2]], [[1], [1], [0]]])], {"batch_dims": 1}, constants=(1,))
    x = f(2, 5, 3)
    for axis, start, count in ((0, 1, 1), (1, 2, 3), (1, -2, 2), (2, 0, 3), (-1, 1, 1)):
        shape = [2, 5, 3]
        shape[axis] = count
        index = np.moveaxis(np.broadcast_to(start + np.arange(count), [*np.delete(shape, axis), count]), -1, axis)
        yield Case("ScatterElements", [x, np.ascontiguousarray(index), f(*shape)], {"axis": axis}, constants=(1,))
    smaller = np.full((1, 1, 2), 4)
    yield Case("ScatterElements", [x, smaller, f(1, 1, 2)], {"axis": 1}, constants=(1,))
    yield Case("ScatterElements", [x, i(4, 0)[None, :, None], f(1, 2, 1)], {"axis": 1}, constants=(1,), refused="a run")
    yield Case("ScatterElements", [x, smaller, f(1, 1, 2)], {"axis": 1, "reduction": "add"}, opset=16, constants=(1,),
               refused="reduction")


def fourier():
    for opset, where in ((17, {"axis": 1}), (20, {})):
        real, both = f(2, 5, 1), f(2, 5, 2)
        for x in (real, both):
            yield Case("DFT", [x], where, opset=opset, symbols={5: "S"})
            yield Case("DFT", [x], {**where, "inverse": 1}, opset=opset, symbols={5: "S"})
        yield Case("DFT", [real], {**where, "onesided": 1}, opset=opset, symbols={5: "S"})
        yield Case("DFT", [both, np.array(7)], where, opset=opset, constants=(1,))
        yield Case("DFT", [both, np.array(3)], where, opset=opset, constants=(1,), refused="dft_length")
        yield Case("DFT", [both], {**where, "onesided": 1}, opset=opset, refused="onesided")
        yield Case("DFT", [f(2, 5, 3)], where, opset=opset, refused="last dimension")
    yield Case("DFT", [f(2, 5, 4, 2)], {"axis": 2}, symbols={5: "S"})
    yield Case("DFT", [f(2, 5, 4, 2), None, np.array(1)], opset=20, constants=(2,), symbols={5: "S"})
    yield Case("DFT", [f(2, 5, 2), None, np.array(-1)], opset=20, constants=(2,), refused="real and imaginary")


def resizing():
    x = f(2, 3, 6, 4)
    for mode in ("linear", "cubic"):
        for coordinates in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
            attrs = {"mode": mode, "coordinate_transformation_mode": coordinates}
            for size in ((7, 9), (3, 4), (1, 1), (6, 13)):
                yield Case("Resize", [x, None, None, i(2, 3, *size)], attrs, constants=(3,))
    sharp = {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}
    yield Case("Resize", [x, None, None, i(2, 3, 9, 5)], sharp, constants=(3,))
    scales = np.array([1, 1, 1.7, 0.6], np.float32)
    yield Case("Resize", [x, None, scales], {"mode": "linear"}, constants=(2,), symbols={2: "B", 3: "C"})
    yield Case("Resize", [x, None, None, i(9, 5)], {"mode": "linear", "axes": [2, 3]}, opset=18, constants=(3,),
               symbols={2: "B", 3: "C"})
    for coordinates, rounding in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"),
                                  ("half_pixel", "round_prefer_ceil"), ("half_pixel", "floor")):
        attrs = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
        for size in ((12, 12), (3, 2), (18, 4)):
            yield Case("Resize", [x, None, None, i(2, 3, *size)], attrs, constants=(3,))
    yield Case("Resize", [x, None, None, i(2, 3, 6, 4)], {"mode": "cubic", "antialias": 1}, opset=18, constants=(3,))
    smaller = [x, None, None, i(2, 3, 3, 4)]
    yield Case("Resize", smaller, {"mode": "cubic", "antialias": 1}, opset=18, constants=(3,), refused="antialias")
    yield Case("Resize", smaller, {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
               constants=(3,), refused="tf_crop_and_resize")


def malformed():
    """What ONNX does not allow is refused, not crashed on."""
    x, one = f(2, 5, 6), np.array(1, np.float32)
    for op, operands in (("Transpose", [None]), ("Gather", [x]), ("Where", [x > 0, None, x]), ("Concat", [x, None]),
                         ("Range", [one, one]), ("Slice", [x, i(0)]), ("MatMul", [x])):
        yield Case(op, operands, refused="is required")
    yield Case("ArgMax", [one], {"axis": 0}, refused="rank 0")
    yield Case("CumSum", [one, np.array(0)], constants=(1,), refused="rank 0")
    yield Case("LayerNormalization", [one, f(6)], refused="rank 0")
    yield Case("Softmax", [x], {"axis": 3}, refused="axis 3")
    yield Case("LayerNormalization", [x, f(2, 2, 5, 6)], refused="rank 4")
    yield Case("BatchNormalization", [x, *[f(5, 1)] * 4], refused="rank 2")
    yield Case("Einsum", [x], {"equation": "ij->i"}, refused="does not fit")
    yield Case("Einsum", [x], {"equation": "ijk->ii"}, refused="twice")
    yield Case("Einsum", [x], {"equation": "i1k->i"}, refused="holds")
    yield Case("Conv", [f(2, 4, 9), f(6, 4, 3)], {"strides": [0]}, refused="strides")
    yield Case("Conv", [f(2, 4, 9), f(6, 4, 3)], {"strides": [1, 1]}, refused="strides")
    yield Case("Attention", [x, f(6, 18), f(9)], {"num_heads": 2}, MS, refused="bias")
    yield Case("Attention", [x, f(6, 18), f(18)], {"num_heads": 4}, MS, refused="heads")
    yield Case("MultiHeadAttention", [f(2, 5, 2, 2, 3)], {"num_heads": 2}, MS, refused="packed")
    yield Case("RotaryEmbedding", [x, f(9, 3), f(9, 3), i(0)], {"num_heads": -1}, opset=23, refused="position_ids")


def cases():
    for group in (malformed, one_hot, positions, depths, elementwise, logic, reductions, contractions, convolutions, normalizations,
                  attention, rotary, lookups, fourier, resizing, quantization_cases.cases):
        yield from group()
