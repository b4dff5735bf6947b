"""Where the runner finds what it shares with the tests."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent
sys.path.insert(0, str(SOURCE / "test" / "Integration"))
import harness  # noqa: E402
