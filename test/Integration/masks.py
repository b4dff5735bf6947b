"""Additive masks whose constant is near the scores: an error, not another result.

    masks.py

Scores are sums of numbers that f32 holds exactly, so that NumPy in double says
what the file computes. Each model runs on every level and on 1 and 2 threads.
"""

import pathlib
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import harness

BAR = 1e-5
HEADS, DEPTH, BATCH, LENGTH = 2, 8, 3, 37
LOWEST = float(np.finfo(np.float32).min)
node = helper.make_node


def save(path, nodes, inputs, outputs, weights):
    shape = lambda name, kind, dims: helper.make_tensor_value_info(name, kind, dims)
    graph = helper.make_graph(nodes, "masks", [shape(*i) for i in inputs], [shape(*o) for o in outputs],
                              [numpy_helper.from_array(a, n) for n, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def mask_nodes(form, scores, masked, constant, kind=np.float32):
    """Nodes that apply the mask to scores, and their weights."""
    real = TensorProto.FLOAT16 if kind == np.float16 else TensorProto.FLOAT
    weights = {"axes": np.array([1, 2], np.int64), "low": kind(constant), "one": kind(1), "none": np.int64(0)}
    if form == "add":
        return [node("Cast", ["mask"], ["kept"], to=real), node("Sub", ["one", "kept"], ["dropped"]),
                node("Mul", ["dropped", "low"], ["bias"]), node("Unsqueeze", ["bias", "axes"], ["wide"]),
                node("Add", [scores, "wide"], [masked])], weights
    return [node("Equal", ["mask", "none"], ["dropped"]), node("Unsqueeze", ["dropped", "axes"], ["wide"]),
            node("Where", ["wide", "low", scores], [masked])], weights


def attention(path, form, constant, kind=np.float32, shift=False):
    """softmax(mask(q k' + shift)) v, the shift one for each query."""
    nodes, weights = mask_nodes(form, "shifted", "masked", constant, kind)
    half = kind == np.float16
    names = ["q", "k", "v"] + ["shift"] * shift
    shape = {"shift": ["b", HEADS, "s", 1]}
    if half:
        nodes = [node("Cast", [n], [n + "h"], to=TensorProto.FLOAT16) for n in names] + nodes
    own = (lambda n: n + "h") if half else (lambda n: n)
    raw = node("Add", ["raw", own("shift")], ["shifted"]) if shift else node("Identity", ["raw"], ["shifted"])
    nodes = [n for n in nodes if n.op_type == "Cast" and n.input[0] != "mask"] + [
        node("Transpose", [own("k")], ["kt"], perm=[0, 1, 3, 2]), node("MatMul", [own("q"), "kt"], ["raw"]), raw,
    ] + [n for n in nodes if n.op_type != "Cast" or n.input[0] == "mask"] + [
        node("Softmax", ["masked"], ["p"], axis=-1, name="the_softmax"),
        node("MatMul", ["p", own("v")], ["yh" if half else "y"], name="the_sum"),
    ] + ([node("Cast", ["yh"], ["y"], to=TensorProto.FLOAT)] if half else [])
    save(path, nodes, [(n, TensorProto.FLOAT, shape.get(n, ["b", HEADS, "s", DEPTH])) for n in names]
         + [("mask", TensorProto.INT64, ["b", "s"])], [("y", TensorProto.FLOAT, ["b", HEADS, "s", DEPTH])], weights)


def given_scores(path, constant):
    """softmax(x + mask) v of scores that no contraction gives: no streaming kernel."""
    nodes, weights = mask_nodes("add", "x", "masked", constant)
    save(path, nodes + [node("Softmax", ["masked"], ["p"], axis=-1, name="the_softmax"),
                        node("MatMul", ["p", "v"], ["y"], name="the_sum")],
         [("x", TensorProto.FLOAT, ["b", HEADS, "s", "s"]), ("v", TensorProto.FLOAT, ["b", HEADS, "s", DEPTH]),
          ("mask", TensorProto.INT64, ["b", "s"])], [("y", TensorProto.FLOAT, ["b", HEADS, "s", DEPTH])], weights)


def layers(path, constant):
    """An encoder of two attentions on x [b, s, d], the second on what the first gives."""
    nodes, weights = mask_nodes("add", "raw1", "masked1", constant)
    weights.update(split=np.array([0, 0, HEADS, DEPTH], np.int64), merge=np.array([0, 0, HEADS * DEPTH], np.int64))
    rng = np.random.default_rng(5)
    state = "x"
    for layer in (1, 2):
        for name in "qkv":
            w = f"w{name}{layer}"
            weights[w] = rng.choice([-1, 0, 1], (HEADS * DEPTH, HEADS * DEPTH)).astype(np.float32) / 16
            # The first of each head's numbers makes the scores: those of x times the gains.
            if name != "v":
                weights[w][:, ::DEPTH] = 0
                weights[w][0, ::DEPTH] = 1
            nodes += [node("MatMul", [state, w], [f"{name}f{layer}"]),
                      node("Reshape", [f"{name}f{layer}", "split"], [f"{name}s{layer}"]),
                      node("Transpose", [f"{name}s{layer}"], [f"{name}t{layer}"],
                           perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3])]
        weights[f"gain{layer}"] = np.float32(-1)
        nodes += [node("MatMul", [f"qt{layer}", f"kt{layer}"], [f"s{layer}"]),
                  node("Mul", [f"s{layer}", f"gain{layer}"], [f"raw{layer}"])]
        if layer == 2:
            nodes.append(node("Add", ["raw2", "wide"], ["masked2"]))
        nodes += [node("Softmax", [f"masked{layer}"], [f"p{layer}"], axis=-1, name=f"softmax_{layer}"),
                  node("MatMul", [f"p{layer}", f"vt{layer}"], [f"c{layer}"]),
                  node("Transpose", [f"c{layer}"], [f"d{layer}"], perm=[0, 2, 1, 3]),
                  node("Reshape", [f"d{layer}", "merge"], [f"e{layer}"]),
                  node("Add", [f"e{layer}", state], [f"x{layer}" if layer == 1 else "y"])]
        if layer == 1:
            nodes.append(node("Mul", ["x1", "grow"], ["z1"]))
            weights["grow"] = np.ones(HEADS * DEPTH, np.float32)
            weights["grow"][0] = 2
            state = "z1"
    save(path, ordered(nodes), [("x", TensorProto.FLOAT, ["b", "s", HEADS * DEPTH]),
                                ("mask", TensorProto.INT64, ["b", "s"])],
         [("y", TensorProto.FLOAT, ["b", "s", HEADS * DEPTH])], weights)


def ordered(nodes):
    """Nodes after those that make their inputs."""
    made = {name for n in nodes for name in n.output}
    done, result = set(), []
    while nodes:
        ready = [n for n in nodes if all(i not in made or i in done for i in n.input)]
        result += ready
        done |= {name for n in ready for name in n.output}
        nodes = [n for n in nodes if n not in ready]
    return result


def arrays(level, seed=3):
    """Queries, keys and values whose scores are -level and a few ones, and a mask
    with a sequence of which nothing is kept."""
    rng = np.random.default_rng(seed)
    shape = (BATCH, HEADS, LENGTH, DEPTH)
    a = {n: (rng.integers(-16, 17, shape) / 32).astype(np.float32) for n in "qkv"}
    a["q"][..., 0], a["k"][..., 0] = -level, 1
    a["mask"] = (rng.random((BATCH, LENGTH)) < 0.7).astype(np.int64)
    a["mask"][0, :5], a["mask"][2] = 1, 0
    return a


def weighted(scores, v, kept=None):
    """softmax(scores) v in double; with `kept` over those keys only."""
    if kept is not None:
        scores = np.where(kept, scores, -np.inf)
    top = np.maximum(scores.max(-1, keepdims=True), -np.finfo(np.float64).max)
    weight = np.exp(scores - top)
    total = weight.sum(-1, keepdims=True)
    return np.divide(weight, total, out=np.zeros_like(weight), where=total != 0) @ v


def scores_of(a):
    if "x" in a:
        return a["x"].astype(np.float64)
    scores = a["q"].astype(np.float64) @ a["k"].astype(np.float64).swapaxes(-1, -2)
    return scores + a["shift"] if "shift" in a else scores


def skipped(a):
    """What the plan computes: keys that the mask drops are not there."""
    return weighted(scores_of(a), a["v"].astype(np.float64), a["mask"][:, None, None, :] != 0)


def as_file(a, constant, form="add"):
    """What the file says, masked keys included."""
    kept = a["mask"][:, None, None, :] != 0
    masked = np.where(kept, scores_of(a), constant if form == "where" else scores_of(a) + constant)
    return weighted(masked, a["v"].astype(np.float64))


class Runner:
    def __init__(self, report, work):
        self.report, self.work = report, work

    def compile(self, *flags):
        code, output = harness.joinery("compile", self.work / "m.onnx", "-o", self.work / "m", *flags)
        self.report.check(code == harness.DONE, "compile", output[:300])

    def runs(self, inputs, offsets=None):
        """(exit code, message, output) on each level and number of threads."""
        np.savez(self.work / "in.npz", **inputs)
        extra = []
        if offsets is not None:
            np.save(self.work / "offsets.npy", np.array(offsets, np.int64))
            extra = ["--offsets", self.work / "offsets.npy"]
        for isa in harness.isa_levels():
            for threads in (1, 2):
                (self.work / "out.npz").unlink(missing_ok=True)
                code, output = harness.joinery("run", self.work / "m", "--inputs", self.work / "in.npz", "--outputs",
                                               self.work / "out.npz", "--threads", threads, *extra, isa=isa)
                written = (self.work / "out.npz").exists()
                yield f"{isa} {threads} threads", code, output, np.load(self.work / "out.npz")["y"] if written else None

    def passes(self, what, inputs, want, offsets=None):
        for place, code, output, got in self.runs(inputs, offsets):
            if not self.report.check(code == harness.DONE, what, f"{place}: exits {code}: {output[:300]}"):
                continue
            same = np.array_equal(np.isnan(got), np.isnan(want))
            error = np.nanmax(np.abs(got - want), initial=0)
            self.report.check(same and error <= BAR, what, f"{place}: error {error:.1e}, NaN as wanted: {same}")

    def fails(self, what, inputs, *words, offsets=None):
        messages = set()
        for place, code, output, got in self.runs(inputs, offsets):
            self.report.check(code == harness.UNSERVABLE and got is None, what,
                              f"{place}: exits {code}, {output[:200]}")
            for word in words:
                self.report.check(word in output, what, f"{place}: no '{word}' in: {output[:500]}")
            messages.add(output)
        self.report.check(len(messages) == 1, what, f"{len(messages)} messages: {messages}")


def streaming(runner, model):
    """The kernel of streaming attention."""
    for form in ("add", "where"):
        verb = {"add": "adds -10000 to the scores of dropped keys",
                "where": "makes the scores of dropped keys -10000"}[form]
        attention(model, form, -1e4)
        runner.compile()
        runner.fails(f"{form} -6000", arrays(6000), "'the_softmax'", verb, "above -5000", "--padding=keep",
                     "row [0, 0, 0] is -5999.")
        runner.fails(f"{form} -20000", arrays(20000), "'the_softmax'", "is -19999.")
        runner.passes(f"{form} -3000", arrays(3000), skipped(arrays(3000)))
        # Only the last kept row is too low: its place is named.
        late = arrays(3000)
        late["q"][1, 1, LENGTH - 1, 0] = -6000
        runner.fails(f"{form} one row", late, f"row [1, 1, {LENGTH - 1}] is -5999.")
        # A sequence of which nothing is kept may have any scores, and gives zeros.
        free = arrays(3000)
        free["q"][2, ..., 0] = -6000
        runner.passes(f"{form} no kept key", free, skipped(free))
        # No number is no low number; -inf is a key that is not there.
        odd = arrays(3000)
        odd["q"][0, 0, 3, 1], odd["q"][1, 1, 5, 0] = np.nan, -np.inf
        want = skipped(arrays(3000))
        want[0, 0, 3], want[1, 1, 5] = np.nan, 0
        runner.passes(f"{form} NaN and -inf", odd, want)
        low = arrays(6000)
        low["q"][..., 1] = np.nan
        runner.passes(f"{form} low and NaN", low, np.where(skipped(low) == 0, 0, np.nan))
        attention(model, form, LOWEST)
        runner.compile()
        runner.passes(f"{form} lowest", arrays(6000), skipped(arrays(6000)))
        attention(model, form, -1e4)
        runner.compile("--padding=keep")
        runner.passes(f"{form} keep", arrays(6000), as_file(arrays(6000), -1e4, form))


def shifts(runner, model):
    """What shifts a row shifts keys that an addition drops, but no constant."""
    a = arrays(4)
    a["shift"] = np.full((BATCH, HEADS, LENGTH, 1), -9990, np.float32)
    attention(model, "add", -1e4, shift=True)
    runner.compile()
    runner.passes("shifted sum", a, skipped(a))
    attention(model, "where", -1e4, shift=True)
    runner.compile()
    runner.fails("shifted constant", a, "row [0, 0, 0] is -999")


def halves(runner, model):
    """f16 models compute in f32, with the constants that f16 holds."""
    for constant, low in ((-1e4, 6000), (-65504, 40000)):
        attention(model, "add", constant, np.float16)
        runner.compile()
        runner.fails(f"f16 {constant}", arrays(low), "'the_softmax'", f"{constant:.0f}")
        runner.passes(f"f16 {constant}", arrays(3000), skipped(arrays(3000)))


def rows(runner, model):
    """Scores that are read, not computed: the kernel for rows."""
    given_scores(model, -1e4)
    runner.compile()
    for level, passes in ((3000, True), (6000, False)):
        a = arrays(level)
        inputs = {"x": scores_of(a).astype(np.float32), "v": a["v"], "mask": a["mask"]}
        if passes:
            inputs["x"][2] -= 3000
            inputs["x"][0, 0, 3] = np.nan
            inputs["x"][1, 1, 5] = -np.inf
            want = skipped(inputs)
            runner.passes("rows", inputs, want)
        else:
            runner.fails("rows", inputs, "'the_softmax'", "-10000", "row [0, 0, 0] is -5999.")


def packed(runner, model):
    """Packed tokens, and the second of two layers that share a kernel."""
    layers(model, -1e4)
    runner.compile()
    rng = np.random.default_rng(8)
    lengths = [5, 0, 9]
    x = np.zeros((3, 12, HEADS * DEPTH), np.float32)
    keep = np.arange(12) < np.array(lengths)[:, None]
    x[keep] = rng.integers(-4, 5, (14, HEADS * DEPTH)) / 4
    for start, softmax in ((80, "softmax_1"), (50, "softmax_2"), (20, None)):
        x[..., 0] = start
        padded = {"x": x, "mask": keep.astype(np.int64)}
        tokens = {"x": x[keep]}
        offsets = np.cumsum([0, *lengths])
        if softmax:
            runner.fails(f"padded {start}", padded, f"'{softmax}'", "-10000", "row [0, 0, 0] is")
            runner.fails(f"packed {start}", tokens, f"'{softmax}'", "-10000", "row [0, 0, 0] is", offsets=offsets)
        else:
            want = [got for *_, got in runner.runs(padded)][0]
            runner.passes("packed", tokens, want[keep], offsets=offsets)


def main():
    report = harness.Report("masks")
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        runner = Runner(report, work)
        for part in (streaming, shifts, halves, rows, packed):
            part(runner, work / "m.onnx")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
