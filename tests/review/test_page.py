"""A newly saved copy of the page is compared entry by entry: what changed, is new, or is gone, and nothing else."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from runbook.parameters import ParameterError
from runbook.review.outline import Outline, OutlineError, fingerprint, parse
from runbook.review.page import Comparison, compared, examine_page

SNIPPET = '{\n  "Action": "s3:GetObject*",\n  "Resource": "BUCKET"\n}'

# Entries as a page has them: headings, paragraphs, numbered steps (two of them the same but for the number), and JSON.
ENTRIES = {
    "first.section": ("section", "Connect the harbour"),
    "first.why": ("note", "Ships that are not connected cannot be unloaded."),
    "first.open": ("step", "  1. Open the console of the harbour."),
    "first.version": ("step", "  2. Set the address to https://example.com/v2.0.0/harbour.yaml."),
    "first.next": ("step", "  3. Click on Next."),
    "first.name": ("step", "  4. Set the name to harbour."),
    "first.again": ("step", "  5. Click on Next."),
    "first.submit": ("step", "  6. Submit."),
    "second.section": ("section", "Open the store"),
    "second.replace": ("step", "  • Replace BUCKET with the name of the store."),
    "second.policy": ("snippet", SNIPPET),
    "second.key": ("step", "Stores that are locked need a key."),
}
PAGE = "\n\n".join(text for _, text in ENTRIES.values()) + "\n"


def outlined() -> Outline:
    """An outline of the page."""
    lines, number = [], 1
    for name, (kind, text) in ENTRIES.items():
        last = number + text.count("\n")
        asks = {"second.key": "What a locked store needs: its key."}.get(name, f"About {name}.")
        anchor = f"anchor: {name.partition('.')[0]}, " if kind == "section" else ""
        lines.append(
            f'  - {{id: {name}, kind: {kind}, lines: {number}-{last}, {anchor}asks: "{asks}", '
            f'fingerprint: "{fingerprint(text)}"}}'
        )
        number = last + 2
    head = [
        "page: {address: 'https://example.com/page.html', lines: 99}",
        "sections:",
        "  - {id: first, notebook: 01-first, title: First}",
        "  - {id: second, notebook: 02-second, title: Second}",
        "entries:",
    ]
    return parse("\n".join([*head, *lines]), "the test's outline")


OUTLINE = outlined()


def changed(*pairs: tuple[str, str]) -> Comparison:
    """The page with some texts replaced, against the outline."""
    page = PAGE
    for old, new in pairs:
        assert old in page
        page = page.replace(old, new, 1)
    return compared(page, OUTLINE)


def ids(found: Comparison) -> tuple[list[str], list[str], list[str]]:
    """Changed by their ids, new by their first line, gone by their ids."""
    return (
        [each.entry.id for each in found.changed if each.entry],
        [each.text.strip().splitlines()[0] for each in found.new],
        [entry.id for entry in found.gone],
    )


def test_the_page_as_it_was_has_no_differences() -> None:
    found = compared(PAGE, OUTLINE)
    assert ids(found) == ([], [], [])
    assert [each.entry.id for each in found.same if each.entry] == list(ENTRIES)


def test_three_edits_are_these_three_and_where_they_are() -> None:
    step = ("  4. Set the name to harbour.", "  4. Tick the box for lorries.\n\n  5. Set the name to harbour.")
    found = changed(
        ("v2.0.0", "v2.1.0"),
        step,
        ("5. Click", "6. Click"),
        ("6. Submit", "7. Submit"),
        ("s3:GetObject*", "s3:GetObject"),
    )
    assert ids(found) == (["first.version", "second.policy"], ["4. Tick the box for lorries."], [])
    assert [str(each.lines) for each in (*found.changed, *found.new)] == ["L7", "L23-26", "L11"]
    assert found.new[0].after == OUTLINE.entry("first.next")
    assert len(found.same) == len(ENTRIES) - 2


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda page: page.replace("  6. Submit.\n\n", ""), ([], [], ["first.submit"])),
        (lambda page: "A new first line.\n\n" + page, ([], ["A new first line."], [])),
        (lambda page: page + "\nA new last line.\n", ([], ["A new last line."], [])),
        (lambda page: page.replace("\n\n", "\n"), ([], [], [])),
        (lambda page: re.sub("(?m)^ +", "      ", page), ([], [], [])),
        (lambda page: page.replace("cannot be unloaded.", "cannot\nbe unloaded."), ([], [], [])),
        (
            lambda page: page.replace("need a key.", "need two keys.\n\nAnd a lock of their own."),
            (["second.key"], ["And a lock of their own."], []),
        ),
        (
            lambda page: page.replace("Open the store", 'Another\n\n{\n  "a": [\n  1]\n}\n\nOpen the store'),
            ([], ["Another", "{"], []),
        ),
    ],
)
def test_an_edit_is_told_as_what_it_is(
    edit: Callable[[str], str], expected: tuple[Sequence[str], Sequence[str], Sequence[str]]
) -> None:
    assert ids(compared(edit(PAGE), OUTLINE)) == expected


@pytest.mark.parametrize("name", ENTRIES)
def test_each_entry_alone_is_found_when_it_changes_and_when_it_goes(name: str) -> None:
    text = ENTRIES[name][1]
    words = f"{text} Or not."
    assert ids(changed((text, words))) == ([name], [], [])
    found = changed((f"{text}\n", ""))
    assert (found.changed, found.new, [entry.id for entry in found.gone]) in (
        ((), (), [name]),
        # Two steps are the same but for their number: the one that is left may be either.
        ((), (), [{"first.next": "first.again", "first.again": "first.next"}.get(name, name)]),
    )


def test_another_page_is_not_compared() -> None:
    with pytest.raises(
        OutlineError, match=r"0 of 12 entries of https://example\.com/page\.html are in it as they were"
    ):
        compared("<html>\n" * 3000, OUTLINE)


# --- the command, with the outline of the product page ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "is not text in UTF-8"),
        (b"Hello\n", "0 of 97 entries of https://bucketav"),
    ],
)
def test_a_file_that_is_no_copy_of_the_page_is_bad_input(content: bytes | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "page.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ParameterError, match=said):
        examine_page(file)


def test_a_finding_names_the_cells_that_an_entry_concerns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The page is not kept here: an outline with an entry of the real one, so that its cells are found.
    entry = OUTLINE.entry("second.policy")
    renamed = entry.model_copy(update={"id": "bucket-policy.statements"})
    sections = [{"id": "first", "notebook": "01-first", "title": "First"}]
    sections.append({"id": "second", "notebook": "02-second", "title": "Second"})
    sections.append({"id": "bucket-policy", "notebook": "05-bucket-policy", "title": "Policies"})
    entries = tuple(renamed if each == entry else each for each in OUTLINE.entries)
    mixed = OUTLINE.model_copy(
        update={"sections": tuple(type(OUTLINE.sections[0])(**each) for each in sections), "entries": entries}
    )
    monkeypatch.setattr("runbook.review.page.load", lambda: mixed)
    file = tmp_path / "page.txt"
    file.write_text(PAGE.replace("s3:GetObject*", "s3:GetObject"), encoding="utf-8")
    (finding,) = examine_page(file).findings
    assert "L21-24, entry `bucket-policy.statements`" in finding.where
    assert 'It says now: “{ "Action": "s3:GetObject",' in finding.what
    assert finding.todo.startswith("See notebooks/05-bucket-policy.ipynb, `plan`. Then renew the entry in")
    assert fingerprint(SNIPPET.replace("GetObject*", "GetObject")) in finding.todo
