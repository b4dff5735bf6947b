"""The cases of ops_test.py that read or write levels."""

import numpy as np

from ops_test import MS, Case, f, random

NAMES = {2: "B", 5: "S"}
INF = float("inf")


def levels(*shape, dtype=np.uint8):
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def weights(*shape, dtype=np.int8):
    """Levels of weights. Signed ones have 7 bits: ONNX Runtime saturates sums of two products with bytes at 16 bits
    on processors without VNNI. test/Integration/levels.py has all 8 bits."""
    drawn = levels(*shape, dtype=dtype)
    return drawn // 2 if dtype == np.int8 else drawn


def number(value, dtype=np.float32):
    return np.array(value, dtype)


def to_levels():
    x = f(2, 5, 4, scale=3)
    for zero in (number(131, np.uint8), number(-7, np.int8)):
        yield Case("QuantizeLinear", [x, number(0.03), zero], symbols=NAMES)
        # Halves go to the even level, and what is beyond to the last.
        halves = np.array([-INF, -1e30, -300, -1.5, -0.5, 0.5, 1.5, 2.5, 300, 1e30, INF], np.float32)
        yield Case("QuantizeLinear", [halves, number(1), zero])
    yield Case("QuantizeLinear", [x, number(0.03)])
    yield Case("QuantizeLinear", [x, np.array([0.03], np.float32), np.array([3], np.uint8)])
    for axis in (1, -1):
        n = x.shape[axis]
        yield Case("QuantizeLinear", [x, np.abs(f(n)) + np.float32(0.01), levels(n)], {"axis": axis}, symbols=NAMES)
    yield Case("QuantizeLinear", [np.array([-7, 0, 9], np.int32), number(0.5), number(3, np.int8)],
               reference=[[-11, 3, 21]])
    yield Case("QuantizeLinear", [x, number(0.01), number(1000, np.int16)], opset=21)
    blocks = [f(4, 6), np.abs(f(4, 2)) + np.float32(0.01), levels(4, 2)]
    yield Case("QuantizeLinear", blocks, {"axis": 1, "block_size": 3}, opset=21, symbols={4: "B"})
    yield Case("QuantizeLinear", blocks, {"axis": 1, "block_size": 4}, opset=21, refused="blocks of 4")
    yield Case("QuantizeLinear", [x, number(0.01), number(40000, np.uint16)], opset=21)
    yield Case("QuantizeLinear", [x, f(3), levels(3)], refused="one number for each key")
    for x in (f(2, 5, 4), f(2, 5, 4) + 9, f(2, 5, 4) - 9, np.zeros((2, 5), np.float32)):
        yield Case("DynamicQuantizeLinear", [x], outputs=3, symbols=NAMES)


def from_levels():
    for dtype in (np.uint8, np.int8):
        q = levels(2, 5, 4, dtype=dtype)
        yield Case("DequantizeLinear", [q, number(0.03), number(17, dtype)], symbols=NAMES)
        yield Case("DequantizeLinear", [q, number(0.03), number(17, dtype)], constants=(0, 1, 2))
        yield Case("DequantizeLinear", [q, f(4), levels(4, dtype=dtype)], {"axis": 2}, symbols=NAMES)
    yield Case("DequantizeLinear", [q, number(0.03)])
    yield Case("DequantizeLinear", [levels(6, 4), f(2, 4), levels(2, 4)], {"axis": 0, "block_size": 3}, opset=21,
               symbols={4: "B"})
    yield Case("DequantizeLinear", [levels(5, 4, dtype=np.uint16), number(0.001), number(40000, np.uint16)], opset=21)
    yield Case("DequantizeLinear", [np.array([-70000, 0, 70001], np.int32), number(0.001)])
    yield Case("DequantizeLinear", [q, number(0.03), number(17, np.uint8)], refused="a zero point of type uint8")
    # Levels are moved as they are.
    q = levels(5, 4)
    yield Case("Gather", [q, np.array([4, 0, 2])], symbols={5: "S"})
    yield Case("Transpose", [q], {"perm": [1, 0]}, symbols={5: "S"})
    yield Case("Concat", [q, levels(2, 4)], {"axis": 0}, symbols={5: "S"})
    yield Case("Cast", [q], {"to": 1})
    yield Case("Cast", [q], {"to": 6})
    yield Case("Add", [q, q], refused="unsigned")


def products():
    a, zero = levels(2, 5, 8), number(120, np.uint8)
    for dtype in (np.uint8, np.int8):
        b, one = weights(8, 6, dtype=dtype), number(9, dtype)
        yield Case("MatMulInteger", [a, b], symbols=NAMES)
        yield Case("MatMulInteger", [a, b, zero, one], symbols=NAMES)
        yield Case("MatMulInteger", [a, b, zero, levels(6, dtype=dtype)], constants=(1, 3), symbols=NAMES)
        yield Case("QLinearMatMul", [a, number(0.02), zero, b, number(0.01), one, number(0.7), number(100, np.uint8)],
                   symbols=NAMES)
        yield Case("MatMulIntegerToFloat", [a, b, number(0.02), np.abs(f(6)), zero, levels(6, dtype=dtype), f(6)],
                   domain=MS, symbols=NAMES)
        yield Case("DynamicQuantizeMatMul", [f(2, 5, 8), b, number(0.01), one, f(6)], domain=MS, symbols=NAMES)
    signed = weights(8, 6)
    wide = np.array([-5000, 3, 70, -9, 12345, 0], np.int32)
    plain = [a[0], number(0.02), zero, signed, number(0.01), number(0, np.int8)]
    yield Case("QGemm", plain, domain=MS)
    yield Case("QGemm", [*plain, wide], {"alpha": 0.5}, domain=MS)
    yield Case("QGemm", [*plain, wide, number(0.4), number(90, np.uint8)], domain=MS)
    yield Case("QGemm", [a[0], number(0.02), zero, np.ascontiguousarray(signed.T), number(0.01), number(0, np.int8)],
               {"transB": 1}, domain=MS)
    x, w = levels(2, 4, 9), levels(6, 4, 3)
    yield Case("ConvInteger", [x, w, zero, number(130, np.uint8)], {"pads": [1, 1]}, symbols={2: "B"})
    yield Case("ConvInteger", [x, w, zero, levels(6)], refused="for each filter")
    filters = [weights(6, 4, 3), np.abs(f(6)) * np.float32(0.01), np.zeros(6, np.int8)]
    yield Case("QLinearConv", [x, number(0.02), zero, *filters, number(0.5), number(128, np.uint8), wide],
               {"pads": [1, 1]}, constants=(3, 4, 5, 8), symbols={2: "B"})
    yield Case("QLinearConv", [x, number(0.02), zero, w, number(0.01), number(130, np.uint8), number(0.5),
                               number(128, np.uint8)])


def few_bits():
    """Weights of 4 bits, two in a byte, in blocks of rows."""
    n, k, size = 6, 40, 16  # the last block is not whole
    blocks = -(-k // size)
    a, scales = f(2, 5, k), np.abs(f(n * blocks)) + np.float32(0.01)
    four = {"K": k, "N": n, "bits": 4, "block_size": size}
    packed = levels(n, blocks, size // 2)
    constants = (1, 2, 3)
    yield Case("MatMulNBits", [a, packed, scales], four, MS, constants=(1, 2), symbols=NAMES)
    yield Case("MatMulNBits", [a, packed, scales, levels(n * ((blocks + 1) // 2))], four, MS, constants=constants)
    yield Case("MatMulNBits", [a, packed, scales, f(n * blocks)], four, MS, constants=constants)
    yield Case("MatMulNBits", [a, packed, scales, None, None, f(n)], four, MS, constants=(1, 2, 5))
    yield Case("MatMulNBits", [a, levels(n, blocks, size), scales], {**four, "bits": 8}, MS, constants=(1, 2))
    yield Case("MatMulNBits", [a, packed, scales], {**four, "bits": 2}, MS, constants=(1, 2), refused="bits = 2")
    yield Case("MatMulNBits", [a, packed[:, :2], scales], four, MS, constants=(1, 2), refused="B does not hold")
    yield Case("MatMulNBits", [a, packed, scales[1:]], four, MS, constants=(1, 2), refused="splits into its parts")


def elementwise():
    x = [levels(2, 5, 4), number(0.03), number(120, np.uint8)]
    y = [levels(5, 4), number(0.02), number(99, np.uint8)]
    z = [number(0.05), number(128, np.uint8)]
    yield Case("QLinearAdd", [*x, *y, *z], domain=MS, symbols=NAMES)
    yield Case("QLinearMul", [*x, *y, *z], domain=MS, symbols=NAMES)
    yield Case("QLinearSigmoid", [*x, number(1 / 256), number(0, np.uint8)], domain=MS)
    yield Case("QLinearLeakyRelu", [*x, *z], {"alpha": 0.1}, MS)


def attention():
    x, w = levels(2, 5, 8), weights(8, 24)
    tail = [number(0.02), number(0.01)]
    zeros = [number(128, np.uint8), number(0, np.int8)]
    yield Case("QAttention", [x, w, f(24), *tail, None, *zeros], {"num_heads": 2}, MS, symbols=NAMES)
    lengths = np.array([5, 3], np.int32)
    yield Case("QAttention", [x, w, f(24), *tail, lengths, *zeros], {"num_heads": 2}, MS)
    tables = [levels(9, 4), levels(7, 4), levels(2, 4), levels(4), levels(4)]
    ids = np.array([[1, 8, 0], [3, 3, 2]], np.int32)
    scales = [number(0.01 * (i + 1)) for i in range(5)]
    zeros = [number(100 + i, np.uint8) for i in range(5)]
    yield Case("QEmbedLayerNormalization", [ids, ids % 2, *tables, None, *scales, *zeros], {"epsilon": 1e-12}, MS,
               outputs=2, constants=tuple(range(2, 18)))


def cases():
    for group in (to_levels, from_levels, products, few_bits, elementwise, attention):
        yield from group()
