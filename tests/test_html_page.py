"""The page of an executed notebook says what nbconvert's own says, in half the time."""

from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter

from runbook.execute import notebook_names, notebook_path
from runbook.html_page import _exporter, write_page


@pytest.mark.parametrize("name", notebook_names())
def test_the_page_is_the_one_that_nbconvert_makes(name: str) -> None:
    notebook = nbformat.read(notebook_path(name), as_version=4)  # type: ignore[no-untyped-call]
    notebook.metadata.pop("widgets", None)
    resources = {"metadata": {"path": str(notebook_path(name).parent), "name": "a run"}}
    ours, _ = _exporter().from_notebook_node(notebook, resources=resources)
    plain = HTMLExporter(config=_exporter().config, embed_images=True)  # type: ignore[no-untyped-call]
    theirs, _ = plain.from_notebook_node(notebook, resources=resources)
    assert str(BeautifulSoup(ours, "html.parser")) == theirs
    assert theirs.count('tabindex="0"') > 10


def test_an_image_without_a_description_gets_one(tmp_path: Path) -> None:
    output = nbformat.v4.new_output("display_data", {"text/html": "<img src='data:,x'><img alt='a' src='data:,y'>"})  # type: ignore[no-untyped-call]
    cells = [nbformat.v4.new_code_cell("1", outputs=[output])]  # type: ignore[no-untyped-call]
    write_page(nbformat.v4.new_notebook(cells=cells), tmp_path / "page.html")  # type: ignore[no-untyped-call]
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img") == 2
    assert page.count("No description has been provided") == 1
