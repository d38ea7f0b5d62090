"""What a review says fits a comment, the weightiest first, and what is cut from it is said to be."""

import re

import pytest

from runbook.review.report import COMMENT, Changed, Detail, Finding, Part, Review

FINDING = Finding(
    "links",
    "notebooks/05-bucket-policy.ipynb, cell `closure`",
    "It links to `04-addons.ipynb`, which there is not.",
    "Did you mean `04-add-ons.ipynb`?",
)
CLEAN = Part("outline", "78 entries, 7 notebooks", ())


def test_a_clean_review_says_so_and_what_was_looked_at() -> None:
    review = Review((CLEAN,))
    assert review.ok
    text = review.to_markdown()
    assert text.startswith("## Review of the runbook: ✓ nothing is wrong\n")
    assert "| outline | 78 entries, 7 notebooks | ✓ |" in text


def test_a_finding_names_its_place_what_is_wrong_and_what_to_do() -> None:
    review = Review((CLEAN, Part("links", "120 links", (FINDING,))))
    assert not review.ok
    text = review.to_markdown()
    assert text.startswith("## Review of the runbook: ✗ one thing is wrong\n")
    assert (
        "- **links**, notebooks/05-bucket-policy.ipynb, cell `closure`: It links to `04-addons.ipynb`, which there is "
        "not. Did you mean `04-add-ons.ipynb`?"
    ) in text
    assert "| links | 120 links | **1** |" in text


def test_what_has_changed_comes_before_what_is_wrong() -> None:
    changed = Changed("main", ("The scan role may now also `s3:DeleteObject`.",), (Detail("Policies", "1", "more"),))
    text = Review((Part("links", "", (FINDING,)),), changed).to_markdown()
    places = [text.index(each) for each in ("What changes since main", "may now also", "more", "What is wrong")]
    assert places == sorted(places)


def test_what_comes_from_elsewhere_is_no_html() -> None:
    finding = Finding("links", "<b>", "It is <script>.", "Take it out.")
    assert "<script>" not in Review((Part("links", "", (finding,)),)).to_markdown()


@pytest.mark.parametrize("details", [1, 40, 2000])
def test_a_long_review_is_cut_to_a_comment_from_what_is_folded(details: int) -> None:
    block = "````diff\n" + "+ a line that is rather long, and there are very many of them\n" * 1000 + "````"
    more = tuple(Detail(f"Part {number}", "", block) for number in range(details))
    review = Review((Part("links", "", (FINDING,)),), Changed("main", ("One thing.",), more))
    text = review.to_markdown(COMMENT)
    assert len(text) <= COMMENT < len(review.to_markdown())
    assert "- One thing." in text
    assert "cut here: a comment has to be short." in text
    if details < 2000:
        assert str(FINDING) in text
        assert len(re.findall("^````", text, re.MULTILINE)) % 2 == 0
        assert text.count("<details>") == text.count("</details>") == details


def test_a_difference_that_holds_a_fence_does_not_end_at_it() -> None:
    finding = Finding("outputs", "cell `plan`", "It differs.", "Renew it.", "-```python\n+```diff\n left\n")
    assert "\n````diff\n-```python" in Review((Part("outputs", "", (finding,)),)).to_markdown()
