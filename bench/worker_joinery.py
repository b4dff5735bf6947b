"""Joinery as a peer, through its C interface; see worker.py."""

import ctypes
import os
import pathlib
import re
import subprocess
import time

import numpy as np
import psutil

import worker

MESSAGE_BYTES = 1020
CPU = 1
CODES = {"i": 0, "u": 1, "f": 2, "b": 6}


class Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]


class DataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device", Device), ("ndim", ctypes.c_int), ("dtype", DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int32), ("message", ctypes.c_char * MESSAGE_BYTES)]


class TensorInfo(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint64), ("name", ctypes.c_char_p), ("dtype_name", ctypes.c_char_p),
        ("dtype", DataType), ("rank", ctypes.c_int32), ("dims", ctypes.c_void_p),
    ]


class ContextOptions(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint64), ("flags", ctypes.c_uint32), ("threads", ctypes.c_uint32),
        ("workspace", ctypes.c_void_p), ("workspace_bytes", ctypes.c_uint64),
        ("trace", ctypes.c_void_p), ("trace_data", ctypes.c_void_p),
    ]


def tools():
    return pathlib.Path(os.environ.get("JOINERY_TOOLS") or pathlib.Path(__file__).resolve().parent.parent / "build/bin")


class Runtime:
    """libjoinery_runtime.so; a call that fails raises with the runtime's message."""

    def __init__(self):
        self.library = ctypes.CDLL(str(tools().parent / "lib" / "libjoinery_runtime.so"))
        self.library.jn_version.restype = ctypes.c_char_p

    def __call__(self, name, *arguments):
        error = Error()
        if getattr(self.library, name)(*arguments, ctypes.byref(error)):
            raise RuntimeError(error.message.decode())

    def infos(self, model, side):
        count = getattr(self.library, f"jn_model_{side}_count")(model)
        for index in range(count):
            info = TensorInfo(size=ctypes.sizeof(TensorInfo))
            self(f"jn_model_{side}", model, ctypes.c_uint32(index), ctypes.byref(info))
            yield info


def view(array):
    """A DLTensor over a contiguous array, which must outlive it."""
    tensor = Tensor(data=array.ctypes.data, device=Device(CPU, 0), ndim=array.ndim)
    tensor.dtype = DataType(CODES[array.dtype.kind], array.dtype.itemsize * 8, 1)
    tensor.shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    return tensor


def anonymous_bytes(process):
    """Anonymous memory of a process and its children, now."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            with open(f"/proc/{one.pid}/status") as status:
                found = re.search(r"RssAnon:\s+(\d+)", status.read())
            total += int(found[1]) * 1024 if found else 0
        except OSError:
            pass
    return total


def prepare(variant, source, prefix):
    """Compiles and says what it cost; memory is polled every 5 ms."""
    start, peak = time.perf_counter(), 0
    with subprocess.Popen([tools() / "joinery", "compile", source, "-o", prefix, f"--precision={variant}"],
                          stderr=subprocess.PIPE, text=True) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, anonymous_bytes(watched))
            except psutil.Error:
                break
            time.sleep(0.005)
        said = process.communicate()[1].strip().splitlines() or [f"stopped with code {process.returncode}"]
    if process.returncode:
        raise SystemExit(f"refused by joinery compile: {said[0]}")
    return {"files": [f"{prefix}.so", f"{prefix}.store"], "seconds": time.perf_counter() - start,
            "anonymous_bytes": peak, "source_bytes": source.stat().st_size}


def load(variant, prefix, inputs, threads):
    runtime = Runtime()
    model, context = ctypes.c_void_p(), ctypes.c_void_p()
    runtime("jn_model_open_shared", os.fsencode(prefix), None, None, ctypes.byref(model))
    options = ContextOptions(size=ctypes.sizeof(ContextOptions), flags=1, threads=threads)
    runtime("jn_context_create", model, ctypes.byref(options), ctypes.byref(context))

    arrays = [np.ascontiguousarray(inputs[info.name.decode()]) for info in runtime.infos(model, "input")]
    given = (Tensor * len(arrays))(*map(view, arrays))
    outputs = list(runtime.infos(model, "output"))
    wanted = (Tensor * len(outputs))()
    shapes = [(ctypes.c_int64 * info.rank)() for info in outputs]
    for tensor, shape in zip(wanted, shapes):
        tensor.shape = shape
    n_in, n_out = ctypes.c_size_t(len(arrays)), ctypes.c_size_t(len(outputs))
    runtime("jn_model_output_shapes", model, given, n_in, wanted, n_out)
    results = {
        info.name.decode(): np.empty(list(shape), info.dtype_name.decode()) for info, shape in zip(outputs, shapes)
    }
    filled = (Tensor * len(outputs))(*map(view, results.values()))

    # Bound once: the small models take less time than looking the call up.
    jn_run, error = runtime.library.jn_run, Error()
    fixed = (context, given, n_in, filled, n_out, ctypes.byref(error))

    def run():
        if jn_run(*fixed):
            raise RuntimeError(error.message.decode())
        return results

    return run, runtime.library.jn_version().decode()


worker.main(load, prepare)
