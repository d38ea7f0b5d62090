"""`docs/security.md` names a test for each of its sentences, and every one of these tests exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
SENTENCES = re.findall(r"^- (.+)$", PAGE, re.MULTILINE)
TEST = re.compile(r"\(`([\w/]+\.py)::(test_\w+)`\)$")
NONE = re.compile(r"\(no test: [^)]+\)$")


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of the test functions in a file below `tests/`; none where there is no such file."""
    path = ROOT / "tests" / file
    if not path.exists():
        return frozenset()
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(node.name for node in found if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


@pytest.mark.parametrize("sentence", SENTENCES, ids=[f"{number}" for number in range(len(SENTENCES))])
def test_a_sentence_names_a_test_that_exists(sentence: str) -> None:
    if NONE.search(sentence):
        return
    named = TEST.search(sentence)
    assert named, f"names no test: {sentence}"
    assert named[2] in names_in(named[1]), f"there is no {named[1]}::{named[2]}"


def test_few_sentences_have_no_test() -> None:
    without = [sentence for sentence in SENTENCES if NONE.search(sentence)]
    assert len(SENTENCES) > 40
    assert len(without) <= 5
