"""The peers: what each is, how it is installed, and what it is given."""

import dataclasses
import pathlib
import shutil
import subprocess
import sys

from paths import HERE


@dataclasses.dataclass(frozen=True)
class Environment:
    pins: tuple
    gigabytes: float


# Each has a virtual environment of its own: their needs contradict each other.
ENVIRONMENTS = {
    "onnxruntime": Environment(("onnxruntime==1.32.0", "onnx==1.23.2", "numpy==2.4.6", "sympy==1.14.0"), 0.5),
    "openvino": Environment(("openvino==2026.4.1", "nncf==3.4.0", "numpy==2.4.6"), 1),
    "ctranslate2": Environment(("ctranslate2==4.8.5", "numpy==2.4.6"), 0.5),
    # The only build of this registry brings CUDA's libraries with it.
    "torch": Environment(("torch==2.15.0", "numpy==2.4.6"), 12),
    "tensorflow": Environment(("tensorflow-cpu==2.21.0", "numpy==2.4.6"), 3),
    "jax": Environment(("jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"), 1.5),
    # The last MXNet there is; it uses names that later NumPys have dropped.
    "mxnet": Environment(("mxnet==1.9.1", "numpy==1.23.5"), 1),
}


@dataclasses.dataclass(frozen=True)
class Peer:
    name: str
    worker: str
    variant: str
    dtype: str
    env: str = ""  # the runner's own
    source: str = "onnx"  # or "weights"
    suffix: str = ""  # of what `prepare` writes; without one it has nothing to do
    default: bool = True

    def command(self, python, action, *arguments):
        return [python, HERE / f"worker_{self.worker}.py", action, self.variant, *arguments]


PEERS = {peer.name: peer for peer in (
    Peer("joinery", "joinery", "f32", "f32", suffix="-joinery"),
    Peer("joinery-bf16", "joinery", "bf16", "bf16", suffix="-joinery-bf16"),
    Peer("onnxruntime", "onnxruntime", "plain", "f32"),
    Peer("onnxruntime-optimised", "onnxruntime", "optimised", "f32", "onnxruntime", suffix="-optimised.onnx"),
    Peer("onnxruntime-int8", "onnxruntime", "int8", "int8", "onnxruntime", suffix="-int8.onnx"),
    Peer("openvino", "openvino", "f32", "f32", "openvino"),
    Peer("openvino-bf16", "openvino", "bf16", "bf16", "openvino"),
    Peer("openvino-int8", "openvino", "int8", "int8", "openvino", suffix="-int8.xml"),
    Peer("ctranslate2", "ctranslate2", "f32", "f32", "ctranslate2", "weights", "-ct2"),
    Peer("ctranslate2-bf16", "ctranslate2", "bf16", "bf16", "ctranslate2", "weights", "-ct2", default=False),
    Peer("ctranslate2-int8", "ctranslate2", "int8", "int8", "ctranslate2", "weights", "-ct2-int8"),
    Peer("torch", "torch", "eager", "f32", "torch", "weights", ".pt"),
    Peer("torch-bf16", "torch", "bf16", "bf16", "torch", "weights", "-bf16.pt"),
    Peer("torch-compile", "torch", "compile", "f32", "torch", "weights", ".pt", default=False),
    Peer("torch-compile-bf16", "torch", "compile-bf16", "bf16", "torch", "weights", "-bf16.pt", default=False),
    Peer("tensorflow", "tensorflow", "plain", "f32", "tensorflow", "weights", default=False),
    Peer("tensorflow-xla", "tensorflow", "xla", "f32", "tensorflow", "weights", default=False),
    Peer("jax", "jax", "f32", "f32", "jax", "weights", default=False),
    Peer("jax-bf16", "jax", "bf16", "bf16", "jax", "weights", default=False),
    Peer("mxnet", "mxnet", "f32", "f32", "mxnet", "weights", default=False),
)}
BASELINE, REFERENCE = "joinery", "onnxruntime"

# The largest error over the output's range; past it the peer computed
# something else, and its time means nothing.
LIMITS = {"f32": 1e-4, "bf16": 0.05, "int8": 0.3}


class Unavailable(Exception):
    pass


def install(name, folder):
    """The Python of an environment, which is made where it is missing."""
    if not name:
        return pathlib.Path(sys.executable)
    wanted, home = ENVIRONMENTS[name], folder / name
    python, stamp = home / "bin" / "python", home / "installed"
    pins = "\n".join(wanted.pins) + "\n"
    if stamp.exists() and stamp.read_text() == pins:
        return python
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < wanted.gigabytes * 1e9:
        raise Unavailable(f"not installed: it needs {wanted.gigabytes:g} GB of disk")
    print(f"bench: installing {', '.join(wanted.pins)}", file=sys.stderr)
    for command in ([sys.executable, "-m", "venv", "--clear", home],
                    [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted.pins]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            said = [line for line in done.stdout.splitlines() if line.startswith("ERROR")] or [f"code {done.returncode}"]
            raise Unavailable(f"not installed: {said[-1]}")
    stamp.write_text(pins)
    return python
