"""Puts a rule of the sandbox in place of a method or a function of moto's."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any


def replace(owner: type | ModuleType, name: str, rule: Callable[..., Any]) -> None:
    """Make `owner.name(...)` call `rule(original, ...)`, where `original` is what stood there before."""
    original = getattr(owner, name)

    @wraps(original)
    def ruled(*arguments: Any, **options: Any) -> Any:
        return rule(original, *arguments, **options)

    setattr(owner, name, ruled)
