"""What moto works out anew for every answer and every value in it, and what never changes: it is remembered here."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from moto.core import responses, serialize, utils
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.sqs import models as sqs


def install() -> None:
    """Remember the names of a service's operations, those under which values are looked for, and those of elements;
    whose a host is; and when time began."""
    responses.method_names_from_class = cache(responses.method_names_from_class)  # type: ignore[attr-defined]
    underscores = lru_cache(1_000)(utils.camelcase_to_underscores)
    responses.camelcase_to_underscores = sqs.camelcase_to_underscores = underscores  # type: ignore[attr-defined]
    dispatcher: Any = DomainDispatcherApplication
    dispatcher.get_backend_for_host = lru_cache(1_000)(dispatcher.get_backend_for_host)
    utils.utcfromtimestamp = lru_cache(10)(utils.utcfromtimestamp)
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
