"""Runs the shell snippets of a page: doc_snippets.py PAGE.md

Blocks fenced as ```sh are one script, run from top to bottom in an empty folder
that holds what the pages say their reader has: model.onnx, an encoder, and
in.npz, inputs of it. Other fences are not run. Files that the snippets show in
blocks fenced as ```<language> file=NAME are written there first.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np

import harness
import zoo

MODEL = "bert-ts17-eager-hs"
ROOT = harness.TEST.parent


def blocks(text):
    """[(info string, content)] of the fenced blocks."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def main():
    page = pathlib.Path(sys.argv[1])
    found = blocks(page.read_text())
    script = "".join(content for info, content in found if info.strip() == "sh")
    if not script:
        print(f"{page.name}: no shell snippets")
        return 0
    tools = pathlib.Path(harness.tool("joinery")).parent
    env = dict(os.environ, PATH=f"{tools}:{os.environ['PATH']}", SOURCE=str(ROOT), BUILD=str(tools.parent))
    env.pop("JOINERY_ISA", None)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        shutil.copy(harness.ZOO / MODEL / "model.onnx", folder)
        np.savez(folder / "in.npz", **zoo.load_cases(harness.ZOO / MODEL / "cases.npz")[1][0])
        for info, content in found:
            name = re.search(r"\bfile=(\S+)", info)
            if name:
                (folder / name[1]).write_text(content)
        code = subprocess.run(["bash", "-euxo", "pipefail", "-c", script], cwd=folder, env=env,
                              stdin=subprocess.DEVNULL).returncode
    if code:
        print(f"FAIL {page.name}: a snippet exits {code}")
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
