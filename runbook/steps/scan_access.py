"""What the scan role is to be able to do on a bucket: the questions to ask."""

from runbook.steps.bucket_access import DECRYPT, LIST

READ = ("s3:GetObject", "s3:GetObjectVersion")
READ_TAGS = "s3:GetObjectTagging"
"""Part of the documented `s3:GetObject*`, so that it comes with reading; asked about where tagging needs it."""
TAG = ("s3:PutObjectTagging",)
DELETE = ("s3:DeleteObject", "s3:DeleteObjectVersion")
NEVER = ("s3:PutObject",)
"""Not part of what the section grants; asked all the same, to show that nothing else was opened."""


def questions(*, tag: bool, delete: bool, encrypted: bool) -> dict[str, bool]:
    """The actions to ask about, and for each whether the run is to give it."""
    granted = dict.fromkeys((*LIST, *READ, *([READ_TAGS] if tag else [])), True)
    granted |= dict.fromkeys(TAG, tag) | dict.fromkeys(DELETE, delete) | dict.fromkeys(NEVER, False)
    return granted | ({DECRYPT: True} if encrypted else {})
