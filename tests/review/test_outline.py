"""The outline describes the whole page, each part of it once, and says what is wrong with it."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.parameters import ParameterError, load_yaml, project_root
from runbook.review.outline import (
    FILE,
    Entry,
    OutlineError,
    defect_notes,
    fingerprint,
    fingerprints,
    load,
    parse,
    section_table,
)

OUTLINE = load()

# The page itself is not kept here. Of its 299 lines, these are blank and lie between two entries.
BLANK = [
    *range(2, 15, 2), 17, 23, 25, 27, 29, 34, 36, 38, 63, 65, 72, 74, 76, 78, 80, 104, 106, 108, 110, 154, 156, 158,
    160, 163, 165, 167, 190, 192, 194, 196, 198, 225, 227, 229, 231, 233, 260, 262, 264, 294,
]  # fmt: skip

SMALL = """
page: {address: "https://example.com/page.html", lines: 6}
sections:
  - {id: first, notebook: 01-first, title: First}
  - {id: second, notebook: 02-second, title: Second}
entries:
  - id: first.section
    kind: section
    lines: 1
    anchor: ""
    asks: Begin.
    fingerprint: &digest "0000000000000000000000000000000000000000000000000000000000000000"
  - id: first.step
    kind: step
    lines: 2
    asks: Do this.
    fingerprint: *digest
    defects: [{number: 2, also: [second.snippet], found: Wrong., handled: Righted.}]
  - {id: second.section, kind: section, lines: 3, anchor: second, asks: Go on., fingerprint: *digest}
  - {id: second.snippet, kind: snippet, lines: 4-6, asks: Write this., fingerprint: *digest}
"""


def numbers(entry: Entry) -> range:
    return range(entry.lines.first, entry.lines.last + 1)


# --- the outline of the product page ---------------------------------------------------------------------------------


def test_no_key_stands_twice_in_the_file() -> None:
    # The quick loader would take the last one and say nothing.
    assert len(load_yaml(FILE)["entries"]) == len(OUTLINE.entries)


def test_every_line_of_the_page_belongs_to_one_entry_or_is_blank() -> None:
    lines = [number for entry in OUTLINE.entries for number in numbers(entry)]
    assert sorted([*lines, *BLANK]) == list(range(1, 300)) == list(range(1, OUTLINE.page.lines + 1))


@pytest.mark.parametrize(
    ("entry", "lines"),
    [
        ("add-ons.connection-target", "L84-103"),
        ("bucket-policy.statements", "L113-153"),
        ("add-ons.target-bucket", "L170-189"),
        ("add-ons.source-bucket", "L201-224"),
        ("add-ons.scheduled-scan", "L236-259"),
        ("findings-topic.queue-policy", "L267-287"),
    ],
)
def test_a_snippet_is_found_at_its_lines(entry: str, lines: str) -> None:
    assert OUTLINE.entry(entry).kind == "snippet"
    assert str(OUTLINE.entry(entry).lines) == lines


def test_the_page_has_so_many_parts_of_each_kind() -> None:
    kinds = Counter(entry.kind for entry in OUTLINE.entries)
    assert (kinds["snippet"], kinds["table"], kinds["row"]) == (6, 1, 2)
    headings = [entry for entry in OUTLINE.entries if entry.kind == "section"]
    assert len(headings) == 1 + 12  # the page's title, and the headings that can be linked to
    assert len([entry for entry in OUTLINE.entries_of("stack-sets") if entry.kind == "step"]) == 24


@pytest.mark.parametrize(
    ("entry", "anchor"),
    [
        ("overview.same-account", ""),
        ("allowlist.parameters", "#step-1-prepare-bucketav"),
        ("stack-sets.submit", "#cloudformation-stacksets"),
        ("add-ons.connection-target", "#add-ons"),
        ("bucket-policy.kms", "#s3-bucket-policy-based-access"),
        ("add-ons.more-statements", "#add-ons-1"),
        ("add-ons.source-bucket", "#source-bucket-in-different-aws-account-than-bucketav"),
        ("overview.help", ""),
    ],
)
def test_an_entry_is_linked_at_the_heading_above_it(entry: str, anchor: str) -> None:
    page = "https://bucketav.com/help/security/multi-account-setup.html"
    assert OUTLINE.address(OUTLINE.entry(entry)) == page + anchor


def test_headings_and_only_headings_have_anchors_of_their_own() -> None:
    anchors = {entry.id: entry.anchor for entry in OUTLINE.entries if entry.anchor}
    assert len(set(anchors.values())) == len(anchors)
    assert {OUTLINE.entry(name).kind for name in anchors} == {"section"}
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", anchor) for anchor in anchors.values())


def test_every_section_begins_with_its_heading() -> None:
    for section in OUTLINE.sections:
        assert OUTLINE.entries_of(section.id)[0].id == f"{section.id}.section"


def test_all_thirteen_defects_are_there_once() -> None:
    assert [defect.number for defect in OUTLINE.defects] == list(range(1, 14))


@pytest.mark.parametrize(
    ("notebook", "defects"),
    [
        ("00-start-here", [3]),
        ("01-allowlist", []),
        ("02-iam-role", [3]),
        ("03-stack-sets", [1, 2, 3, 13]),
        ("04-add-ons", [7, 9, 10, 12]),
        ("05-bucket-policy", [7, 8, 9]),
        ("06-findings-topic", [4, 5, 6, 11, 12]),
    ],
)
def test_a_notebook_shows_the_defects_of_its_section(notebook: str, defects: list[int]) -> None:
    assert [defect.number for defect in OUTLINE.defects_of(notebook)] == defects
    shown = defect_notes(notebook).to_markdown()
    assert re.findall(r"^\| (\d+) \|", shown, re.MULTILINE) == [str(number) for number in defects]


def test_a_notebook_shows_what_the_page_asks_of_it_line_by_line() -> None:
    shown = repr(section_table("05-bucket-policy")).splitlines()[2:]
    entries = OUTLINE.entries_of("bucket-policy")
    assert len(shown) == len(entries)
    for line, entry in zip(shown, entries, strict=True):
        assert line.startswith(f"| [{entry.lines}]({OUTLINE.address(entry)}) | `{entry.id}` | {entry.asks} |")


def test_every_entry_that_the_package_names_exists() -> None:
    named = {
        name: path.name
        for path in sorted((project_root() / "runbook").rglob("*.py"))
        for name in re.findall(r"outline `([^`]+)`", path.read_text(encoding="utf-8"))
    }
    assert set(named) - {entry.id for entry in OUTLINE.entries} == set(), named


# --- any outline -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bucket-policy.statement", "no entry `bucket-policy.statement`. Did you mean `bucket-policy.statements`?"),
        ("Bucket-policy.kms", "Did you mean `bucket-policy.kms`?"),
    ],
)
def test_an_unknown_entry_is_answered_with_the_one_that_was_meant(name: str, said: str) -> None:
    with pytest.raises(OutlineError) as error:
        OUTLINE.entry(name)
    assert said in str(error.value)


def test_an_unknown_section_or_notebook_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(OutlineError, match=r"`addons` is neither a section nor a notebook\. Did you mean `add-ons`\?"):
        OUTLINE.entries_of("addons")
    with pytest.raises(OutlineError, match=r"Did you mean `05-bucket-policy`\?"):
        section_table("05-bucket-policies")
    with pytest.raises(OutlineError, match=r"no section `addons`\. Did you mean `add-ons`\?"):
        OUTLINE.section("addons")


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("id: second.section", "id: first.step", "The entry `first.step` stands twice."),
        ("{id: second,", "{id: first,", "The section `first` stands twice."),
        (
            "id: second.snippet",
            "id: secnd.snippet",
            "`secnd.snippet` is in no section that is listed. Did you mean `second`?",
        ),
        ("id: second.snippet", "id: Second.snippet", "`entries.3.id` is 'Second.snippet'"),
        ("lines: 4-6", "lines: 4-7", "`second.snippet`: L4-7 is not in the page, which has 6 lines."),
        ("lines: 4-6", "lines: 6-4", "`second.snippet`: L6-4 is not in the page"),
        ("lines: 4-6", "lines: 3-6", "`second.snippet` (L3-6) has to come after `second.section` (L3)."),
        ("lines: 4-6", "lines: four", "`entries.3.lines` is 'four'; a line is written 9, several are written 113-153."),
        ("also: [second.snippet]", "also: [second.gone]", "`first.step` has a defect that also concerns `second.gone`"),
        ("kind: snippet", "kind: snipet", "`entries.3.kind` is 'snipet'; it can be"),
        ("asks: Write this.", "ask: Write this.", "`entries.3.ask` is not known here. Did you mean `asks`?"),
        ("asks: Write this.,", "", "`entries.3.asks` is missing."),
        ("0" * 64, "0" * 63, "`entries.0.fingerprint` is '000"),
    ],
)
def test_a_damaged_outline_is_refused(good: str, bad: str, said: str) -> None:
    with pytest.raises(ParameterError) as error:
        parse(SMALL.replace(good, bad, 1), "small.yaml")
    assert said in str(error.value)
    assert str(error.value).startswith("small.yaml: ")


def test_a_defect_belongs_to_every_section_that_it_concerns() -> None:
    small = parse(SMALL, "small.yaml")
    (defect,) = small.defects_of("first")
    assert small.defects_of("02-second") == (defect,)
    assert [entry.id for entry in small.places(defect)] == ["first.step", "second.snippet"]


def test_fingerprints_follow_the_words_of_each_entry() -> None:
    page = "Title\nDo  this \nNext\n{\n  1\n}\n"
    found = fingerprints(page, parse(SMALL, "small.yaml"))
    words = {"first.section": "Title", "first.step": "Do this", "second.section": "Next", "second.snippet": "{ 1 }"}
    assert found == {name: fingerprint(text) for name, text in words.items()}
    changed = fingerprints(page.replace("1", "2"), parse(SMALL, "small.yaml"))
    assert [name for name in found if found[name] != changed[name]] == ["second.snippet"]


def test_a_fingerprint_is_sha_256_in_hexadecimal() -> None:
    # As `printf 'Do this' | sha256sum` says.
    assert fingerprint("Do\n this ") == "1d75e222aec1fbd4e394723435858f4f40bab950a79ee6c3d5ae048ac77aec70"


@given(words=st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1), min_size=2), spaces=st.data())
def test_a_fingerprint_does_not_depend_on_how_words_are_spaced(words: list[str], spaces: st.DataObject) -> None:
    gaps = spaces.draw(st.lists(st.text(" \n\t", min_size=1), min_size=len(words), max_size=len(words)))
    spaced = "".join(word + gap for word, gap in zip(words, gaps, strict=True))
    assert fingerprint(spaced) == fingerprint(" ".join(words))
    assert fingerprint("".join(words)) != fingerprint(spaced)


def test_a_page_that_is_too_short_has_no_fingerprints() -> None:
    with pytest.raises(OutlineError, match=r"has 2 lines, where the outline describes 6"):
        fingerprints("Title\nDo this\n", parse(SMALL, "small.yaml"))
