"""Markdown of this package as HTML, for views that are HTML: nothing in it becomes HTML that we did not write."""

import re
from functools import cache
from typing import Any

import mistune

from runbook import markdown
from runbook.untrusted import escaped

_OURS = re.compile(r"</?(details|summary|code|br)>")
"""The tags that our own Markdown holds (`runbook.markdown`)."""


def from_markdown(text: str) -> str:
    """The HTML of a text in Markdown; tags in it that are none of ours are shown as they are written."""
    return str(_parser()(markdown.gate(text)))


def inline(text: str) -> str:
    """The same for a line, without a paragraph around it."""
    return from_markdown(text).strip().removeprefix("<p>").removesuffix("</p>")


@cache
def _parser() -> Any:
    return mistune.create_markdown(renderer=_Renderer(escape=False), plugins=["table"])


class _Renderer(mistune.HTMLRenderer):
    def inline_html(self, html: str) -> str:
        """A tag within a line."""
        return _only_ours(html)

    def block_html(self, html: str) -> str:
        """A line that begins with a tag."""
        return _only_ours(html)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """Away from the notebook, which stays as it is, and only to where links of ours lead."""
        if not markdown.is_known(url):
            return text
        return super().link(text, url, title).replace("<a ", '<a target="_blank" rel="noopener" ', 1)

    def image(self, text: str, url: str, title: str | None = None) -> str:  # noqa: ARG002 (mistune's)
        """No text of ours has a picture in it, which a browser would fetch."""
        return text


def _only_ours(text: str) -> str:
    parts, end = [], 0
    for tag in _OURS.finditer(text):
        parts += [escaped(text[end : tag.start()], quote=False), tag[0]]
        end = tag.end()
    return "".join([*parts, escaped(text[end:], quote=False)])
