"""The situation chooser on every combination of owners, connections and add-ons, by table."""

from itertools import product

import pytest

from runbook.steps.add_on_situations import SCHEDULED, Need, Owner, Situation, find_situation

A, B, C = "111111111111", "222222222222", "333333333333"
MOVERS = ("move-clean", "move-no", "quarantine")

# Who owns a bucket: account a; b or c, connected or not; nobody, where no bucket is named.
OWNERS = {
    "-": None,
    "a": Owner(A),
    "b": Owner(B),
    "b+": Owner(B, connected=True),
    "c": Owner(C),
    "c+": Owner(C, connected=True),
}

# Source (lines) by target (columns); a `+` stands for a connected account. Of each cell the situations, in short:
# ct connection-target, cd connected, tb target-bucket, sb source-bucket, oa own-account, and who acts.
TABLE = """
source  -       a       b       b+      c       c+
-       .       oa:a    tb:a    tb:a    tb:a    tb:a
a       oa:a    oa:a    tb:a    tb:a    tb:a    tb:a
b       sb:a    sb:a    sb,tb:a .       sb,tb:a sb,tb:a
b+      cd:b    ct:b    .       cd:b    ct:b    ct:b
c       sb:a    sb:a    sb,tb:a sb,tb:a sb,tb:a .
c+      cd:c    ct:c    ct:c    ct:c    .       cd:c
"""
SHORT = {
    "ct": Situation.CONNECTION_TARGET,
    "cd": Situation.CONNECTED,
    "tb": Situation.TARGET_BUCKET,
    "sb": Situation.SOURCE_BUCKET,
    "oa": Situation.OWN_ACCOUNT,
}
ACTING = {"a": "", "b": B, "c": C}


def cells() -> dict[tuple[str, str], str]:
    """What is expected for each pair; a dot where an account would be connected and not at the same time."""
    head, *lines = [line.split() for line in TABLE.strip().splitlines()]
    return {(line[0], target): cell for line in lines for target, cell in zip(head[1:], line[1:], strict=True)}


def possible(source: str, target: str) -> bool:
    """An account is connected or not, and there is at least one bucket."""
    same_account = source[0] == target[0]
    return (source, target) != ("-", "-") and not (same_account and source != target)


def test_the_table_is_about_every_combination() -> None:
    assert set(cells()) == set(product(OWNERS, OWNERS))
    assert {pair for pair, cell in cells().items() if cell != "."} == {
        pair for pair in product(OWNERS, OWNERS) if possible(*pair)
    }


@pytest.mark.parametrize("add_on", MOVERS)
@pytest.mark.parametrize(("pair", "cell"), [item for item in cells().items() if item[1] != "."], ids=str)
def test_add_ons_that_move_files(add_on: str, pair: tuple[str, str], cell: str) -> None:
    short, acting = cell.split(":")
    found = find_situation(A, add_on, OWNERS[pair[0]], OWNERS[pair[1]])
    assert found.situations == tuple(SHORT[each] for each in short.split(","))
    assert found.acting == ACTING[acting]
    assert (Need.CONNECTION in found.needs) == (acting != "a")
    assert (Need.SCAN_ROLE in found.needs) == ("sb" in short)
    assert Need.BASE_STATEMENTS not in found.needs
    for owner in (OWNERS[pair[0]], OWNERS[pair[1]]):
        assert owner is None or owner.account == A or owner.account in found.why


@pytest.mark.parametrize(
    ("source", "situation", "acting", "needs"),
    [
        ("a", Situation.OWN_ACCOUNT, "", ()),
        ("b", Situation.SCHEDULED_SCAN, "", (Need.BASE_STATEMENTS,)),
        ("b+", Situation.CONNECTED, B, (Need.CONNECTION,)),
        ("c", Situation.SCHEDULED_SCAN, "", (Need.BASE_STATEMENTS,)),
        ("c+", Situation.CONNECTED, C, (Need.CONNECTION,)),
    ],
)
@pytest.mark.parametrize("target", [None, Owner(C)], ids=["without a target", "with a target"])
def test_the_add_on_that_scans(
    source: str, situation: Situation, acting: str, needs: tuple[Need, ...], target: Owner | None
) -> None:
    found = find_situation(A, SCHEDULED, OWNERS[source], target)
    assert (found.situations, found.acting, found.needs) == ((situation,), acting, needs)
