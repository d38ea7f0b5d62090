"""The accounts, how each is connected and what is read in it, as a picture and as text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from runbook import markdown
from runbook.display import svg
from runbook.steps.topology import AccountState, BucketState, Reach, Topology, Way

WIDTH = 980
LEFT, LEFT_WIDTH = 16.0, 230.0
RIGHT, RIGHT_WIDTH = 424.0, 540.0
TOP, GAP, PAD = 58.0, 12.0, 14.0
CHIP, CHIP_GAP = 22.0, 6.0
MOST_CHIPS = 14
"""So many buckets of an account are drawn; of the others only the number."""

LONGEST_NAME = 34
"""Characters of a bucket's name that are drawn; the whole name is in the text beside the picture."""


@dataclass(frozen=True)
class _Look:
    """How something is drawn: a mark that needs no colour to be told from the others, and colours."""

    mark: str
    line: str
    fill: str


REACHES: Mapping[Reach, _Look] = {
    Reach.ROLE: _Look("●", "#1f4e79", "#eaf2fa"),
    Reach.POLICY: _Look("◆", "#2b6a33", "#edf6ee"),
    Reach.HOME: _Look("■", "#1f4e79", "#eaf2fa"),
    Reach.NONE: _Look("○", "#6b6b6b", "#ffffff"),
    Reach.UNKNOWN: _Look("?", "#8a4b00", "#fdf3e4"),
}


@dataclass(frozen=True)
class Picture:
    """What a cell shows of a topology."""

    topology: Topology

    def __repr__(self) -> str:
        return "\n".join(_lines(self.topology))

    def to_svg(self) -> str:
        """The picture, the same text for the same topology."""
        return _draw(self.topology)

    def _repr_mimebundle_(self, **_: object) -> Mapping[str, str]:
        image = svg.as_image(self.to_svg(), summary(self.topology), WIDTH)
        return {"text/plain": repr(self), "text/html": image}


def summary(topology: Topology) -> str:
    """The picture in a sentence or two."""
    ways = {way: [each.title for each in topology.accounts if each.way is way] for way in Way}
    told = [f"{way}: {markdown.joined(names, most=len(names))}" for way, names in ways.items() if names]
    buckets = [bucket for account in topology.accounts for bucket in account.buckets]
    reached = sum(bucket.reach not in (Reach.NONE, Reach.UNKNOWN) for bucket in buckets)
    return f"{'; '.join(told)}. bucketAV can read {reached} of {markdown.count(len(buckets), 'bucket')}."


def _lines(topology: Topology) -> Iterator[str]:
    """All of it as text, an account and its buckets a paragraph."""
    yield heading(topology)
    for account in topology.accounts:
        yield f"{account.title} ({account.id}): {account.way}{'' if account.active else ', suspended'}"
        if account.problem:
            yield f"  ? cannot be looked into: {account.problem.splitlines()[0]}"
        for reach in REACHES:
            if names := [bucket.name for bucket in account.buckets if bucket.reach is reach]:
                yield f"  {REACHES[reach].mark} {reach}: {', '.join(names)}"
        if account.unseen:
            yield f"  … and {markdown.count(account.unseen, 'bucket')} more, not looked at"
    yield from _rest(topology)


def heading(topology: Topology) -> str:
    """Where this is."""
    own = topology.organization
    where = f"{topology.stack.name} in {topology.region}, environment {topology.environment}"
    if own is None:
        return f"{where}; account a is in no organization, or may not ask"
    listed = "on the allowlist" if own.id in topology.lists.organizations else "not on the allowlist as a whole"
    size = f", {markdown.count(len(own.members), 'account')}" if own.members is not None else ""
    return f"{where}; organization {own.id}{size}, {listed}"


def _rest(topology: Topology) -> Iterator[str]:
    if topology.unseen:
        yield f"… and {markdown.count(topology.unseen, 'account')} more, not looked at"
    own = topology.organization
    if own is not None and own.members is not None:
        seen = {account.id for account in topology.accounts}
        if others := [f"{name}" for identifier, (name, _) in own.members.items() if identifier not in seen]:
            yield f"Also in the organization, named nowhere: {markdown.joined(others, most=6)}"
    yield from topology.problems


# --- the drawing -----------------------------------------------------------------------------------------------------


def _draw(topology: Topology) -> str:
    home, *others = topology.accounts
    parts: list[str] = []
    y = TOP
    for account in others:
        box, height = _box(account)
        parts += [_moved(box, RIGHT, y), _link(account, y + height / 2)]
        y += height + GAP
    bottom = max(y - GAP, TOP + 150, TOP + _home_height(home))
    parts.append(_home(home, topology, bottom - TOP))
    y = bottom + 24
    for line in _rest(topology):
        parts.append(svg.text(svg.shortened(line, 124), LEFT, y, size=12, fill="#555555"))
        y += 18
    parts.append(_legend(y + 4))
    head = svg.text(svg.shortened(heading(topology), 118), LEFT, 34, size=13, font_weight=600)
    return svg.document(summary(topology), WIDTH, y + 24, [_ARROWS, head, *parts])


def _arrow(color: str) -> str:
    head = svg.element("path", d="M0 0 10 5 0 10z", fill=color)
    size: Mapping[str, str | float] = {
        "viewBox": "0 0 10 10",
        "refX": 9,
        "refY": 5,
        "markerWidth": 7,
        "markerHeight": 7,
        "orient": "auto",
    }
    return svg.element("marker", head, id=f"arrow-{color[1:]}", **size)


_ARROWS = svg.element("defs", "".join(_arrow(REACHES[reach].line) for reach in (Reach.ROLE, Reach.POLICY)))


def _box(account: AccountState) -> tuple[str, float]:
    """An account as seen from its own corner, and its height."""
    chips: list[str] = []
    height = 60.0
    if account.buckets:
        chips, y = _chips(account, RIGHT_WIDTH - 2 * PAD, 54.0)
        height = y + PAD - CHIP_GAP
    dashed = "" if account.way is Way.CONNECTED else "6 4"
    line = REACHES[Reach.ROLE].line if account.way is Way.CONNECTED else "#6b6b6b"
    frame = svg.element(
        "rect",
        width=RIGHT_WIDTH,
        height=height,
        rx=10,
        fill="none",
        stroke=line,
        stroke_width=1.6,
        stroke_dasharray=dashed,
    )
    return "".join([frame, *_titles(account, _told(account), 46), *chips]), height


def _home(account: AccountState, topology: Topology, height: float) -> str:
    chips, _ = _chips(account, LEFT_WIDTH - 2 * PAD, 124.0)
    frame = svg.element("rect", width=LEFT_WIDTH, height=height, rx=10, fill="none", stroke="#1f4e79", stroke_width=2)
    product = topology.stack.product.removeprefix("Powered by ").replace(", version ", " ")
    bucketav = [
        svg.element("rect", x=PAD, y=60, width=LEFT_WIDTH - 2 * PAD, height=52, rx=6, fill="#1f4e79"),
        svg.text("bucketAV", 2 * PAD, 82, size=15, fill="#ffffff", font_weight=600),
        svg.text(product, 2 * PAD, 101, size=12, fill="#ffffff"),
    ]
    return _moved("".join([frame, *_titles(account, [], 20), *bucketav, *chips]), LEFT, TOP)


def _home_height(account: AccountState) -> float:
    _, y = _chips(account, LEFT_WIDTH - 2 * PAD, 124.0)
    return y + PAD


def _titles(account: AccountState, told: Sequence[str], room: int) -> Iterator[str]:
    """What the account is called, at most so many characters, and below it what there is to tell of it."""
    yield svg.text(svg.shortened(account.title, room), PAD, 26, size=15, font_weight=600)
    number = [account.id] if account.title != account.id else []
    yield svg.text(" · ".join([*number, *told]), PAD, 45, size=12, fill="#555555")


def _told(account: AccountState) -> list[str]:
    told = [str(account.way) if account.active else f"{account.way}, suspended"]
    if account.problem:
        return [*told, "? cannot be looked into"]
    return told if account.buckets else [*told, "no buckets"]


def _chips(account: AccountState, width: float, y: float) -> tuple[list[str], float]:
    """The buckets, line by line from y on, and where the next line would begin."""
    order = list(REACHES)
    buckets = sorted(account.buckets, key=lambda bucket: (order.index(bucket.reach), bucket.name))
    drawn, x = [], 0.0
    for chip, wide in [*map(_chip, buckets[:MOST_CHIPS]), *_others(buckets[MOST_CHIPS:], account.unseen)]:
        if x and x + wide > width:
            x, y = 0.0, y + CHIP + CHIP_GAP
        drawn.append(_moved(chip, PAD + x, y))
        x += wide + CHIP_GAP
    return drawn, y + CHIP + CHIP_GAP


def _chip(bucket: BucketState) -> tuple[str, float]:
    look, name = (
        REACHES[bucket.reach],
        svg.shortened(bucket.name, LONGEST_NAME if bucket.reach is not Reach.HOME else 22),
    )
    wide = 7.1 * len(name) + 30
    frame = svg.element("rect", width=wide, height=CHIP, rx=5, fill=look.fill, stroke=look.line)
    return f"{frame}{svg.text(look.mark, 8, 15.5, size=12, fill=look.line)}{svg.text(name, 23, 15.5, size=12)}", wide


def _others(buckets: Sequence[BucketState], unseen: int) -> Iterator[tuple[str, float]]:
    if number := len(buckets) + unseen:
        reached = sum(bucket.reach not in (Reach.NONE, Reach.UNKNOWN) for bucket in buckets)
        told = f"and {number} more" + (f", {reached} of them reachable" if reached else "")
        yield svg.text(told, 4, 15.5, size=12, fill="#555555"), 7.1 * len(told)


def _link(account: AccountState, y: float) -> str:
    """What leads from bucketAV to an account, and what it is."""
    opened = account.count(Reach.POLICY)
    start, end = LEFT + LEFT_WIDTH, RIGHT - 4
    words, look, dashed = "", REACHES[Reach.NONE], "2 5"
    if account.way is Way.CONNECTED:
        words, look, dashed = "by IAM role", REACHES[Reach.ROLE], ""
    elif opened:
        words, look, dashed = f"{markdown.count(opened, 'bucket')} by policy", REACHES[Reach.POLICY], "7 4"
    elif account.way is Way.ALLOWLISTED:
        words = "allowlisted only"
    else:
        return ""
    marker = f"url(#arrow-{look.line[1:]})" if look is not REACHES[Reach.NONE] else ""
    line = svg.element(
        "path",
        d=f"M{start:g} {y:g}H{end:g}",
        stroke=look.line,
        stroke_width=2,
        stroke_dasharray=dashed,
        marker_end=marker,
    )
    return line + svg.text(words, (start + end) / 2, y - 8, size=12, fill=look.line, text_anchor="middle")


def _legend(y: float) -> str:
    parts, x = [], LEFT
    words = {
        Reach.ROLE: "read by IAM role",
        Reach.POLICY: "opened by bucket policy",
        Reach.HOME: "in bucketAV's account",
        Reach.NONE: "not reachable",
        Reach.UNKNOWN: "not known",
    }
    for reach, told in words.items():
        parts.append(svg.text(REACHES[reach].mark, x, y, size=12, fill=REACHES[reach].line))
        parts.append(svg.text(told, x + 16, y, size=12, fill="#555555"))
        x += 7.1 * len(told) + 44
    return "".join(parts)


def _moved(content: str, x: float, y: float) -> str:
    return svg.element("g", content, transform=f"translate({x:g} {y:g})")
