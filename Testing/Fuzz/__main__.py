"""`python -m Fuzz`: run the fuzzers for some minutes, or one case again (`--case image_bytes 17`)."""

from __future__ import annotations

import argparse
import sys

from Fuzz.fuzzers import FUZZERS
from Fuzz.running import outcome_of, run, work


def main() -> int:
    parser = argparse.ArgumentParser(prog="Fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", choices=FUZZERS, action="append", help="a fuzzer; may be repeated (default all)")
    parser.add_argument("--seed", type=int, default=0, help="of the first case (default 0)")
    parser.add_argument("--case", nargs=2, metavar=("FUZZER", "SEED"), help="one case again")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        name, first, count = options.worker
        work(name, int(first), int(count))
        return 0
    if options.case is not None:
        print(outcome_of(options.case[0], int(options.case[1])))
        return 0
    tallies = run(options.minutes, options.only or [*FUZZERS], seed=options.seed)
    for name, tally in tallies.items():
        print(f"{name:16} {sum(tally.outcomes.values()):7} cases: {dict(tally.outcomes)}")
        for seed, find in tally.finds[:5]:
            print(f"--- python -m Fuzz --case {name} {seed}\n{find}")
    return int(any(tally.finds for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
