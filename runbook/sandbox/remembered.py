"""What moto works out anew for every answer and every value in it, and what never changes: it is remembered here."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from moto.core import responses, serialize
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker


def install() -> None:
    """Remember the names of a service's operations, those under which values are looked for, and those of elements."""
    responses.method_names_from_class = cache(responses.method_names_from_class)  # type: ignore[attr-defined]
    responses.camelcase_to_underscores = lru_cache(1_000)(responses.camelcase_to_underscores)  # type: ignore[attr-defined]
    writer: Any = serialize.xmltodict  # type: ignore[attr-defined]
    writer._validate_name = lru_cache(10_000)(writer._validate_name)
    look_up, known = XFormedAttributePicker.get_possible_keys, dict[tuple[Any, ...], tuple[str, ...]]()

    def possible_keys(self: XFormedAttributePicker, context: AttributePickerContext) -> tuple[str, ...]:
        # They follow from the class of the object, and from the shape, of which there is one for each place in a model.
        which = (type(context.obj), context.key, context.shape)
        if which not in known:
            known[which] = tuple(look_up(self, context))
        return known[which]

    XFormedAttributePicker.get_possible_keys = possible_keys  # type: ignore[assignment,method-assign]
