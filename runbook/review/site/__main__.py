"""Builds the site without a review: `make site`."""

import argparse
import sys
from pathlib import Path

from runbook.parameters import ParameterError, project_root, shown
from runbook.review.site import SiteError, build
from runbook.terminal import echo


def main() -> int:
    """Build it and print where it is. The exit status is 1 when something in it is not as it should be, 2 when it
    cannot go there.
    """
    parser = argparse.ArgumentParser(prog="python -m runbook.review.site", description=str(__doc__))
    parser.add_argument("--output", type=Path, default=project_root() / "build" / "site", metavar="DIR")
    output: Path = parser.parse_args().output
    try:
        echo(f"The site is in {shown(build(output.resolve()))}.")
    except (ParameterError, SiteError) as error:
        echo(str(error), err=True)
        return 2 if isinstance(error, ParameterError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
