"""Scan results as bucketAV publishes them to its findings topic.

Known: the JSON has `bucket`, `key` and `status`, and may have `finding`, `size` and `version`; `bucket`, `key` and
`status` are message attributes too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from moto.sns.models import Topic

SIZE_LIMIT = 1024 * 1024
"""Bytes. A larger file is unscannable. Stands for the many gigabytes that a scanner's disk holds."""

EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The EICAR test file, written so that nobody's antivirus takes this module for it."""

HARMLESS_EICAR = "This object has the name of the EICAR test file, but not its content.\n"
"""What the sandbox's own objects have in place of the test file."""


@dataclass(frozen=True)
class Finding:
    """`status` is "clean", "infected" or "no" (unscannable). `size` in bytes. What is empty is not published."""

    bucket: str
    key: str
    status: str
    size: int
    finding: str = ""
    version: str = ""

    @property
    def message(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if value != ""})

    @property
    def attributes(self) -> dict[str, Any]:
        """As moto keeps message attributes."""
        texts = {"bucket": self.bucket, "key": self.key, "status": self.status}
        return {name: {"Type": "String", "Value": value} for name, value in texts.items()}


def report(topic: Topic, finding: Finding) -> None:
    """Publish a finding."""
    topic.publish(finding.message, message_attributes=finding.attributes)
