"""Markdown of texts from elsewhere: they read as they are, and nothing in them becomes HTML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from runbook.markdown import plain, table

SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (SCRIPT, "&lt;img src=x onerror=alert(1)>"),
        ("R&D &lt;", "R&amp;D &amp;lt;"),
        ("the statement `a & b` of R&D", "the statement `a & b` of R&amp;D"),
        ("``a ` & b`` & c", "``a ` & b`` &amp; c"),
        ("`<b> & c`", "<code>&lt;b&gt; &amp; c</code>"),
        ("one ` & no span", "one ` &amp; no span"),
        ("two\nlines\r\nor `a\nspan <b>`", "two lines or `a span &lt;b>`"),
        ("", ""),
    ],
)
def test_html_is_escaped_outside_code_spans_and_never_left_inside(text: str, escaped: str) -> None:
    assert plain(text) == escaped


def test_a_cell_keeps_its_line_breaks_and_bars_but_no_html() -> None:
    assert table(["Sid"], [[f"a|b\n{SCRIPT}"]]).splitlines()[-1] == ("| a\\|b<br>&lt;img src=x onerror=alert(1)> |")


PIECES = st.sampled_from(
    ["`", "``", "```", "<b>", "</b>", "\\", "[", "](x)", "!", "|", "\n", "\n\n", "&lt;b>", "*", " a "]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_no_text_becomes_a_tag_however_its_backticks_fall(text: str) -> None:
    for shown in (f"- {plain(text)}", table(["Sid", "b"], [[text, text]])):
        assert "<b>" not in markdown2html_mistune(shown)
