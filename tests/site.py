"""The site as the tests look at it, with a review in which something is wrong: `python -m tests.site DIR` builds it."""

import sys
from pathlib import Path

from runbook.review.report import Changed, Detail, Finding, Part, Review
from runbook.review.site import build

REVIEW = Review(
    (
        Part(
            "outline",
            "97 entries, 7 notebooks",
            (
                Finding(
                    "outline",
                    "notebooks/05-bucket-policy.ipynb, cell `plan`",
                    "Something is <b>wrong</b>.",
                    "Correct it.",
                    "--- before\n+++ after\n-old\n+new\n",
                ),
                Finding("outline", "notebooks/05-bucket-policy.ipynb, cell `no-such-cell`", "It is gone.", "Look."),
            ),
        ),
        Part(
            "parameters",
            "37 scenarios",
            (Finding("parameters", "params/05-bucket-policy/one-bucket.yaml, `bukets`", "Unknown.", "Correct it."),),
        ),
    ),
    Changed(
        "main", ("The scan role may now also `s3:DeleteObject`.",), (Detail("Plans", "1 scenario", "(x)= {y}`z` $a$"),)
    ),
)

if __name__ == "__main__":
    build(Path(sys.argv[1]), review=REVIEW)
