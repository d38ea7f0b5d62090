"""Account by bucket, which ones are open for what a run is for: a tile for each bucket, told by shape and by words."""

import re
from collections.abc import Iterable, Sequence
from enum import Enum

from runbook import markdown
from runbook.access import Access, AccessMatrix
from runbook.policy.evaluate import Verdict
from runbook.untrusted import escaped

FEW = 24
"""So many buckets of an account have a tile each; more are told in numbers."""


class Openness(Enum):
    """How far a bucket is open: its sign, the name of its look, and what it means."""

    NEW = ("◆", "new", "newly open")
    OPEN = ("●", "kept", "open before")
    PARTLY = ("◐", "unsure", "in part")
    CLOSED = ("○", "denied", "closed")


def coverage(access: AccessMatrix) -> str:
    """The HTML of the picture; nothing where less than two buckets are concerned."""
    found = openness(access)
    if sum(map(len, found.values())) < 2:
        return ""
    lines = "".join(_line(account, buckets) for account, buckets in found.items())
    when = "would be open" if access.predicted else "are open"
    return f'<table class="rb-coverage"><caption>Which buckets {when}</caption><tbody>{lines}</tbody></table>'


def openness(access: AccessMatrix) -> dict[str, dict[str, Openness]]:
    """For each account its buckets, and how far each is open for all that the run is to give."""
    found: dict[str, dict[str, Openness]] = {}
    answers: dict[str, list[Access]] = {}
    for row in access.rows:
        if row.granted:
            answers.setdefault(row.resource, []).append(row)
    for resource, rows in answers.items():
        if bucket := re.fullmatch(r"([0-9]{12})/([^/ ]+)", resource):
            found.setdefault(bucket[1], {})[bucket[2]] = _of(rows)
    return found


def _of(rows: Iterable[Access]) -> Openness:
    before, after = zip(*((row.before.verdict, row.after.verdict) for row in rows), strict=True)
    if all(verdict is Verdict.ALLOWED for verdict in after):
        return Openness.OPEN if set(before) == {Verdict.ALLOWED} else Openness.NEW
    return Openness.PARTLY if Verdict.ALLOWED in after else Openness.CLOSED


def _line(account: str, buckets: dict[str, Openness]) -> str:
    """An account and its buckets."""
    alike = {each: [name for name, found in buckets.items() if found is each] for each in Openness}
    numbers = ", ".join(f"{len(names)} {each.value[2]}" for each, names in alike.items() if names)
    if len(buckets) <= FEW:
        tiles = [_tile(each, name) for name, each in sorted(buckets.items())]
    else:
        tiles = [_tile(each, _few(names)) for each, names in alike.items() if names]
    return f'<tr><th scope="row">{account}</th><td>{" ".join(tiles)}</td><td>{numbers}</td></tr>'


def _tile(openness: Openness, name: str) -> str:
    sign, look, meaning = openness.value
    return f'<span class="rb-cell rb-{look}" title="{meaning}">{sign} {escaped(name)}</span>'


def _few(names: Sequence[str]) -> str:
    return f"{len(names)}: {markdown.joined(names)}"
