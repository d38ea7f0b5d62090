"""The picture of where things stand: the same for the same state, readable without colours, and safe to show."""

import re
from dataclasses import replace
from urllib.parse import unquote
from xml.etree import ElementTree

from runbook.display import svg
from runbook.display.topology import MOST_CHIPS, REACHES, WIDTH, Picture, summary
from runbook.steps.topology import Reach, Topology, Way
from runbook.untrusted import Untrusted
from tests.steps.topologies import account, bucket, topology

SVG = "{http://www.w3.org/2000/svg}"


def words(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_the_same_state_is_the_same_picture() -> None:
    assert Picture(topology()).to_svg() == Picture(topology()).to_svg() != Picture(topology(listed=True)).to_svg()


def test_every_account_and_bucket_is_in_it_with_its_mark() -> None:
    drawn = words(Picture(topology()).to_svg())
    for each in topology().accounts:
        assert each.title in drawn
        for one in each.buckets:
            assert drawn[drawn.index(one.name) - 1] == REACHES[one.reach].mark
    assert "by IAM role" in drawn
    assert "1 bucket by policy" in drawn
    assert len({look.mark for look in REACHES.values()}) == len(Reach)


def test_the_text_beside_it_says_all_of_it_too() -> None:
    text = repr(Picture(topology()))
    assert "b (222222222222): allowlisted, not connected\n  ◆ by bucket policy: open-b\n" in text
    assert summary(topology()).endswith("bucketAV can read 3 of 7 buckets.")


def test_it_is_shown_as_an_image_with_a_description() -> None:
    shown = Picture(topology())._repr_mimebundle_()["text/html"]
    assert f'alt="{summary(topology())}"' in shown
    source = re.search(r'src="data:image/svg\+xml,([^"]*)"', shown)
    assert source
    assert unquote(source[1]) == Picture(topology()).to_svg()


def test_names_from_elsewhere_are_nothing_but_names() -> None:
    strange = account("b", "2" * 12, Way.CONNECTED, bucket("<script>&"), problem="")
    found = topology(others={"b": replace(strange, name=Untrusted('"><img src=x onerror=y>'))})
    assert "<script>&" in words(Picture(found).to_svg())
    shown = Picture(found)._repr_mimebundle_()["text/html"]
    assert shown.count("<") == shown.count(">") == 1


def test_much_is_cut_short_and_nothing_leaves_the_picture() -> None:
    names = [f"a-bucket-with-quite-a-long-name-{number:03}-of-department-{number:03}" for number in range(90)]
    crowded = account("b", "2" * 12, Way.CONNECTED, *(bucket(name, reach=Reach.ROLE) for name in names))
    long = account("a-rather-long-name-for-an-account-of-somebody", "4" * 12, Way.APART)
    found = topology(others={"b": replace(crowded, unseen=10), "d": long})
    picture = Picture(found).to_svg()
    drawn = words(picture)
    assert f"and {100 - MOST_CHIPS} more, {90 - MOST_CHIPS} of them reachable" in drawn
    assert right_edge(picture) <= WIDTH
    assert right_edge(Picture(_suspended(found)).to_svg()) <= WIDTH


def _suspended(found: Topology) -> Topology:
    accounts = tuple(replace(each, active=False, problem="No way in.") for each in found.accounts)
    return replace(found, accounts=accounts, problems=("The table cannot be read: " + "because " * 40,))


def right_edge(picture: str) -> float:
    """How far to the right anything reaches, with letters of 0.6 of their size, which is wide."""
    edges = []

    def look(element: ElementTree.Element, x: float) -> None:
        if moved := re.match(r"translate\(([\d.]+)", element.get("transform", "")):
            x += float(moved[1])
        if element.tag == f"{SVG}text" and element.get("text-anchor") != "middle":
            edges.append(
                x + float(element.get("x", 0)) + 0.6 * float(element.get("font-size", 0)) * len(element.text or "")
            )
        if element.tag == f"{SVG}rect":
            edges.append(x + float(element.get("x", 0)) + float(element.get("width", 0)))
        for child in element:
            look(child, x)

    look(ElementTree.fromstring(picture), 0)
    return max(edges)


def test_a_long_name_loses_its_middle() -> None:
    assert svg.shortened("logs-of-the-application-eu-west-1", 15) == "logs-of…-west-1"
    assert svg.shortened("logs", 4) == "logs"
