"""Rewrites of an ONNX model that must not change what it computes.

Each law takes a `Rewriter` and applies itself somewhere at random; it returns
False where the model has no place for it.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference


class Rewriter:
    """The model as it is now; a new one is made after each law.

    `serial` keeps the names of one law apart from those of another.
    """

    def __init__(self, model, rng, serial=0):
        self.model, self.graph, self.rng = model, model.graph, rng
        self.serial, self.fresh = serial, 0
        self.types = self.infer_types()

    def infer_types(self):
        """{value: tensor type} of all that ONNX's shape inference can tell."""
        inferred = shape_inference.infer_shapes(self.model, data_prop=True).graph
        known = [*inferred.value_info, *inferred.input, *inferred.output]
        return {v.name: v.type.tensor_type for v in known if v.type.HasField("tensor_type")}

    def name(self, hint):
        self.fresh += 1
        return f"rewritten_{hint}_{self.serial}_{self.fresh}"

    def pick(self, candidates):
        return candidates[int(self.rng.integers(len(candidates)))] if candidates else None

    def constant(self, array, hint="c"):
        """A new constant, as an initialiser or as a node."""
        name = self.name(hint)
        tensor = numpy_helper.from_array(np.asarray(array), name)
        if self.rng.integers(2):
            self.graph.initializer.append(tensor)
        else:
            self.graph.node.insert(0, helper.make_node("Constant", [], [name], value=tensor))
        return name

    def constants(self):
        """{name: array} of initialisers and of Constant nodes."""
        found = {t.name: t for t in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                found[node.output[0]] = node.attribute[0].t
        return found

    def shape(self, value):
        """The extents of `value` (ints, or names), or None where unknown."""
        kind = self.types.get(value)
        if kind is None or not kind.HasField("shape"):
            return None
        return [d.dim_value if d.HasField("dim_value") else d.dim_param for d in kind.shape.dim]

    def float_edges(self, rank_at_least=1):
        """(node index, input index) of activations whose rank is known."""
        fixed = self.constants()
        return [
            (n, i)
            for n, node in enumerate(self.graph.node)
            for i, value in enumerate(node.input)
            if value and value not in fixed and value in self.types
            and self.types[value].elem_type == TensorProto.FLOAT
            and len(self.shape(value) or ()) >= rank_at_least
        ]

    def splice(self, edge, make_nodes):
        """Puts nodes between a value and one use; `make_nodes(value) -> nodes`."""
        n, i = edge
        nodes = make_nodes(self.graph.node[n].input[i])
        self.graph.node[n].input[i] = nodes[-1].output[0]
        for offset, node in enumerate(nodes):
            self.graph.node.insert(n + offset, node)
        return True

    def op(self, kind, inputs, **attributes):
        return helper.make_node(kind, inputs, [self.name(kind.lower())], **attributes)


def transpose_pair(r):
    """x = transpose⁻¹(transpose(x))"""
    edge = r.pick(r.float_edges(rank_at_least=2))
    if edge is None:
        return False

    def nodes(value):
        order = [int(a) for a in r.rng.permutation(len(r.shape(value)))]
        there = r.op("Transpose", [value], perm=order)
        return [there, r.op("Transpose", [there.output[0]], perm=[int(a) for a in np.argsort(order)])]

    return r.splice(edge, nodes)


def split_reshape(r):
    """The last axis is split into two, and merged again."""
    edges = [e for e in r.float_edges(rank_at_least=2)
             if isinstance(r.shape(r.graph.node[e[0]].input[e[1]])[-1], int)
             and r.shape(r.graph.node[e[0]].input[e[1]])[-1] % 2 == 0]
    edge = r.pick(edges)
    if edge is None:
        return False
    value = r.graph.node[edge[0]].input[edge[1]]
    shape = r.shape(value)
    lead = [0] * (len(shape) - 1)
    split = r.constant(np.array([*lead, 2, shape[-1] // 2], np.int64), "shape")
    merged = r.constant(np.array([*lead, -1], np.int64), "shape")
    n = next(k for k, node in enumerate(r.graph.node) if value in node.input and node.op_type != "Constant")
    i = list(r.graph.node[n].input).index(value)

    def nodes(value):
        there = r.op("Reshape", [value, split])
        return [there, r.op("Reshape", [there.output[0], merged])]

    return r.splice((n, i), nodes)


def identity_chain(r):
    """x = identity(identity(x))"""
    edge = r.pick(r.float_edges())
    if edge is None:
        return False

    def nodes(value):
        first = r.op("Identity", [value])
        return [first, r.op("Identity", [first.output[0]])]

    return r.splice(edge, nodes)


def replace_input(r, name, make_nodes):
    """All uses of an input read a value computed from it instead."""
    nodes = make_nodes(name)
    for node in r.graph.node:
        for i, value in enumerate(node.input):
            if value == name:
                node.input[i] = nodes[-1].output[0]
    for offset, node in enumerate(nodes):
        r.graph.node.insert(offset, node)
    return True


def integer_casts(r):
    """An integer input goes through the other integer type."""
    ints = {TensorProto.INT64: TensorProto.INT32, TensorProto.INT32: TensorProto.INT64}
    inputs = [v for v in r.graph.input if v.type.tensor_type.elem_type in ints]
    chosen = r.pick(inputs)
    if chosen is None:
        return False
    kind = chosen.type.tensor_type.elem_type

    def nodes(value):
        there = r.op("Cast", [value], to=ints[kind])
        return [there, r.op("Cast", [there.output[0]], to=kind)]

    return replace_input(r, chosen.name, nodes)


def mask_form(r):
    """A mask of zeros and ones is computed from itself in another form."""
    masks = [v for v in r.graph.input if "mask" in v.name]
    chosen = r.pick(masks)
    if chosen is None:
        return False
    kind = chosen.type.tensor_type.elem_type
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    form = int(r.rng.integers(4))
    zero, one = r.constant(np.array(0, dtype), "zero"), r.constant(np.array(1, dtype), "one")

    def nodes(value):
        if form == 0:
            flag = r.op("Cast", [value], to=TensorProto.BOOL)
            return [flag, r.op("Where", [flag.output[0], one, zero])]
        if form == 1:
            dropped = r.op("Sub", [one, value])
            return [dropped, r.op("Sub", [one, dropped.output[0]])]
        if form == 2:
            dropped = r.op("Equal", [value, zero])
            kept = r.op("Not", [dropped.output[0]])
            return [dropped, kept, r.op("Cast", [kept.output[0]], to=kind)]
        return [r.op("Mul", [value, value])]

    # The constants may be nodes; they have to stay in front of their uses.
    made = nodes(chosen.name)
    front = [n for n in r.graph.node if n.op_type == "Constant"]
    rest = [n for n in r.graph.node if n.op_type != "Constant"]
    for node in rest:
        for i, value in enumerate(node.input):
            if value == chosen.name:
                node.input[i] = made[-1].output[0]
    del r.graph.node[:]
    r.graph.node.extend([*front, *made, *rest])
    return True


def scale_across_matmul(r):
    """(x·c)@y = (x@y)·c, with a power of two so that no rounding changes."""
    places = [n for n, node in enumerate(r.graph.node) if node.op_type == "MatMul"
              and r.types.get(node.output[0]) is not None
              and r.types[node.output[0]].elem_type == TensorProto.FLOAT]
    n = r.pick(places)
    if n is None:
        return False
    node = r.graph.node[n]
    factor = float(2.0 ** r.rng.integers(1, 4))
    down, up = r.constant(np.float32(1 / factor), "down"), r.constant(np.float32(factor), "up")
    n = next(k for k, other in enumerate(r.graph.node) if other.output[:1] == node.output[:1])
    node = r.graph.node[n]
    side, result = int(r.rng.integers(2)), node.output[0]
    before = r.op("Mul", [node.input[side], down])
    product = r.name("product")
    after = helper.make_node("Mul", [product, up], [result])
    node.input[side] = before.output[0]
    node.output[0] = product
    r.graph.node.insert(n + 1, after)
    r.graph.node.insert(n, before)
    return True


def move_scale(r):
    """A constant factor of a MatMul's operand moves to its result."""
    fixed = r.constants()
    makers = {o: k for k, node in enumerate(r.graph.node) for o in node.output}
    uses = [v for node in r.graph.node for v in node.input] + [o.name for o in r.graph.output]
    places = []
    for n, node in enumerate(r.graph.node):
        if node.op_type != "MatMul":
            continue
        for side in (0, 1):
            k = makers.get(node.input[side])
            if k is None or r.graph.node[k].op_type not in ("Mul", "Div"):
                continue
            factor = r.graph.node[k].input[1]
            if factor in fixed and int(np.prod(fixed[factor].dims)) == 1 and uses.count(node.input[side]) == 1:
                places.append((n, side, k))
    place = r.pick(places)
    if place is None:
        return False
    n, side, k = place
    scale = r.graph.node[k]
    node, result, product = r.graph.node[n], r.graph.node[n].output[0], r.name("product")
    node.input[side] = scale.input[0]
    node.output[0] = product
    r.graph.node.insert(n + 1, helper.make_node(scale.op_type, [product, scale.input[1]], [result]))
    del r.graph.node[k]
    return True


def initialisers_to_nodes(r):
    """Some initialisers become Constant nodes."""
    inputs = {v.name for v in r.graph.input}
    chosen = [t for t in r.graph.initializer if t.name not in inputs and r.rng.integers(2)
              and t.data_location != TensorProto.EXTERNAL]
    if not chosen:
        return False
    for tensor in chosen:
        r.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    names = {t.name for t in chosen}
    kept = [t for t in r.graph.initializer if t.name not in names]
    del r.graph.initializer[:]
    r.graph.initializer.extend(kept)
    return True


LAWS = (transpose_pair, split_reshape, identity_chain, integer_casts, mask_form,
        scale_across_matmul, move_scale, initialisers_to_nodes)

# Those that the normal form of a layer undoes. A column that is split everywhere
# stays split, and a mask that is written in two forms is two conditions.
NORMAL = tuple(law for law in LAWS if law not in (split_reshape, mask_form))


# Those that change no last bit: where values are rounded to levels, it may decide.
EXACT = tuple(law for law in LAWS if law not in (scale_across_matmul, move_scale))


def rewrite(model, rng, count=8, laws=LAWS):
    """A copy of `model` after `count` random laws, and the names of those."""
    if any("Quantize" in node.op_type for node in model.graph.node):
        laws = [law for law in laws if law in EXACT]
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    applied = []
    for _ in range(4 * count):
        law = laws[int(rng.integers(len(laws)))]
        if law(Rewriter(copy, rng, serial=len(applied))):
            applied.append(law.__name__)
        if len(applied) == count:
            break
    return copy, applied
