"""Organizations as on AWS where moto is not: ids may have any length that AWS allows."""

from __future__ import annotations

from moto.organizations import utils


def install() -> None:
    """AWS, Organizations API: a root id is `r-` and 4 to 32 letters or digits, an OU's suffix has 8 to 32."""
    utils.ROOT_ID_REGEX = r"r-[a-z0-9]{4,32}"
    utils.OU_ID_REGEX = r"ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}"
