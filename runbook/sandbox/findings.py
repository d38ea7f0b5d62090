"""Scan results as bucketAV publishes them to its findings topic.

Known: the JSON has `bucket`, `key` and `status`, and may have `finding`, `size` and `version`; `bucket`, `key` and
`status` are message attributes too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from moto.sns.models import Topic


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
