"""Whether a batch stands a fleet of hundreds of accounts and a thousand jobs: `make soak`, or `python -m tests.soak`.

Not part of the tests, because it takes most of an hour. Everything happens in the sandbox and in a temporary folder.
"""

import argparse
import tempfile
from pathlib import Path

from tests.soak import accounts, small


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--accounts", type=int, default=300, help="to connect and open a bucket of; 0 for none")
    parser.add_argument("--jobs", type=int, default=1_000, help="small jobs; 0 for none")
    parser.add_argument("--folder", type=Path, help="keeps everything here; default: a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        for name, soak, number in (("accounts", accounts.soak, given.accounts), ("small jobs", small.soak, given.jobs)):
            if number:
                print(f"{number} {name}", flush=True)
                (folder / name.replace(" ", "-")).mkdir(parents=True)
                soak(folder / name.replace(" ", "-"), number)


if __name__ == "__main__":
    main()
