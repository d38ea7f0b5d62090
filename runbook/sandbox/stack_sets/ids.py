"""Ids that repeat, and that do not depend on what else is asked meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from moto.moto_api._internal import mock_random


@contextmanager
def own_ids(what: str) -> Iterator[None]:
    """Inside, what moto makes up comes from a generator of its own, which depends on `what` alone."""
    state = mock_random.getstate()
    mock_random.setstate(Random(what).getstate())
    try:
        yield
    finally:
        mock_random.setstate(state)


def unique(what: str) -> str:
    """A UUID that depends on `what` alone."""
    with own_ids(what):
        return str(mock_random.uuid4())
