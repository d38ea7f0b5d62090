"""SVG as text, piece by piece and the same every time; and a picture as a notebook's output."""

from collections.abc import Iterable
from urllib.parse import quote

from runbook.untrusted import escaped

FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"

_AS_THEY_ARE = " !'()*+,-./:;=@_~"
"""Characters that need no escape in a data address, so that the picture can be read in a difference."""


def element(name: str, content: str = "", **attributes: str | float) -> str:
    """An element; `_` in an attribute's name stands for `-`, a number is written as short as it can be."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value != ""
    )
    return f"<{name}{given}>{content}</{name}>" if content else f"<{name}{given}/>"


def text(words: str, x: float, y: float, *, size: int = 13, fill: str = "#222222", **more: str | float) -> str:
    """A line of text that begins, ends or is centred (`text_anchor`) at x, with its baseline at y."""
    return element("text", escaped(words, quote=False), x=x, y=y, font_size=size, fill=fill, **more)


def shortened(words: str, most: int) -> str:
    """A text of at most so many characters; what is left out is left out of its middle, where names differ least."""
    if len(words) <= most:
        return words
    end = (most - 1) // 2
    return f"{words[: most - 1 - end]}…{words[len(words) - end :]}"


def document(title: str, width: float, height: float, parts: Iterable[str]) -> str:
    """A whole picture on white, so that it reads on dark pages too."""
    background = element("rect", width=width, height=height, rx=10, fill="#ffffff")
    return element(
        "svg",
        "\n".join(["", element("title", escaped(title, quote=False)), background, *parts, ""]),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_attribute(width)} {_attribute(height)}",
        role="img",
        font_family=FONT,
    )


def as_image(svg: str, described: str, width: int) -> str:
    """HTML that shows a picture: an image, because GitHub and notebooks that are not trusted leave SVG itself out."""
    source = f"data:image/svg+xml,{quote(svg, safe=_AS_THEY_ARE)}"
    return f'<img alt="{escaped(described)}" style="width: 100%; max-width: {width}px" src="{source}">'


def _attribute(value: str | float) -> str:
    return escaped(value) if isinstance(value, str) else f"{value:g}"
