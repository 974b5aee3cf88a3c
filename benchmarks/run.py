"""Runs the benchmarks and prints a table. Every figure is a ratio within one run, the median of several pairs."""

import gc
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

# The servers are those of the tests.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import distance
import exports
import label_studio
import listing
import local_files
import s3

BENCHMARKS = {
    "local": local_files,
    "s3": s3,
    "listing": listing,
    "label-studio": label_studio,
    "exports": exports,
    "distance": distance,
}


def main(names: list[str]) -> int:
    """Run those of some names, by default all; return 1 if a limit was missed."""
    missed = False
    print(f"{'job / peer':<58}{'job':>13}{'peer':>13}{'ratio':>8}{'limit':>9}")
    # What the modules of all benchmarks hold is no garbage of any job: a collection would go through it all, in one row
    # or another by chance.
    gc.collect()
    gc.freeze()
    for name in names or BENCHMARKS:
        with TemporaryDirectory() as directory:
            for result in BENCHMARKS[name].results(Path(directory)):
                print(result, flush=True)
                missed |= result.missed
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
