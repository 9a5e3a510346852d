"""All benchmarks, one after the other, each in a process of its own.

    python -m benchmarks.run_all --write                 # tables to benchmarks/results/
    python -m benchmarks.run_all --only step,overhead

Left out unless asked for (`--only prepare_memory,evaluate_memory,soak`): preparing at ten times
the size, judging 50,000 pictures, half an hour of kills. Each script runs alone too, with more
options: `--help`.
"""

import argparse
import subprocess
import sys
import time

from benchmarks.processes import ROOT

# In order of what other work on the machine would spoil most.
SCRIPTS: dict[str, list[str]] = {
    "step": [],
    "options": [],
    "overhead": [],
    "checkpoint_stall": [],
    "stream": ["--source", "drawn:12288", "--rounds", "5"],
    "stream_memory": [],
    "workers": ["--rounds", "5"],
    "launcher": [],
    "recovery": [],
    "doctor_estimate": [],
    "report": [],
    "prepare_memory": [],
    "evaluate_memory": [],
    "soak": [],
}
LONG = ("prepare_memory", "evaluate_memory", "soak")


def main() -> None:
    options = parse()
    failed = []
    for name in options.only.split(","):
        began = time.monotonic()
        print(f"== {name}", flush=True)
        if run(name, options):
            failed.append(name)
        print(f"== {name}: {time.monotonic() - began:.0f} s\n", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = ",".join(name for name in SCRIPTS if name not in LONG)
    parser.add_argument("--only", default=usual, help=f"of {', '.join(SCRIPTS)}")
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--rivals-python", default=sys.executable)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def run(name: str, options: argparse.Namespace) -> int:
    """Runs one script; returns its exit status."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *SCRIPTS[name]]
    if name == "step":
        command += ["--torch-python", options.torch_python]
    if name == "stream":
        command += ["--rivals-python", options.rivals_python]
    if options.write:
        command.append("--write")
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    main()
