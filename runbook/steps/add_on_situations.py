"""Which of the documentation's situations an add-on and its buckets are in: worked out from who owns them, no call."""

from dataclasses import dataclass
from enum import StrEnum


class Situation(StrEnum):
    """The five situations, and the one in which there are no other accounts. Source: outline, section `add-ons`."""

    CONNECTION_TARGET = "connection-target"
    CONNECTED = "connected"
    TARGET_BUCKET = "target-bucket"
    SOURCE_BUCKET = "source-bucket"
    SCHEDULED_SCAN = "scheduled-scan"
    OWN_ACCOUNT = "own-account"


class Need(StrEnum):
    """What a situation needs besides the add-on's own statements."""

    CONNECTION = "the connection of the source's account has to stay"
    SCAN_ROLE = "the scan role has to be able to read the source (05-bucket-policy)"
    BASE_STATEMENTS = "the scan role's own statements on the bucket, which are added here where they are missing"


SCHEDULED = "scheduled-bucket-scan"


@dataclass(frozen=True)
class Owner:
    """The account that owns a bucket, and whether it is connected to bucketAV by role."""

    account: str
    connected: bool = False


@dataclass(frozen=True)
class Found:
    """`situations` that the buckets are in, and why. `acting` is the account whose connection role does the work; empty
    where the add-on's own role does.
    """

    situations: tuple[Situation, ...]
    why: str
    needs: tuple[Need, ...] = ()
    acting: str = ""


def find_situation(account_a: str, add_on: str, source: Owner | None, target: Owner | None) -> Found:
    """The situation of an add-on that takes files from `source`, or scans it, and puts them into `target`.

    Either may be None where it is not known or not there; not both, and a scheduled scan always has a source.
    """
    if add_on == SCHEDULED:
        assert source is not None
        return _scan(account_a, source)
    if source is not None and source.account != account_a and source.connected:
        return _by_connection(source, target)
    return _by_add_on(account_a, source, target)


def _scan(account_a: str, source: Owner) -> Found:
    if source.account == account_a:
        return Found((Situation.OWN_ACCOUNT,), "The bucket is in account a, like the add-on: its own role suffices.")
    if source.connected:
        why = f"Account {source.account} is connected, so its connection role lists the bucket and reads its tags."
        return Found((Situation.CONNECTED,), why, (Need.CONNECTION,), source.account)
    why = (
        f"Account {source.account} is not connected, so the bucket's policy has to let in the add-on's role, which "
        "finds what is to be scanned, and the scan role, which scans it."
    )
    return Found((Situation.SCHEDULED_SCAN,), why, (Need.BASE_STATEMENTS,))


def _by_connection(source: Owner, target: Owner | None) -> Found:
    acts = f"The source's account {source.account} is connected, so its connection role takes the files and puts them"
    if target is None:
        why = f"{acts} wherever they are to go; no target was named."
        return Found((Situation.CONNECTED,), why, (Need.CONNECTION,), source.account)
    if target.account == source.account:
        why = f"{acts} into a bucket of its own account: its own policy suffices."
        return Found((Situation.CONNECTED,), why, (Need.CONNECTION,), source.account)
    why = f"{acts} into a bucket of account {target.account}, whose policy has to let that role in."
    return Found((Situation.CONNECTION_TARGET,), why, (Need.CONNECTION,), source.account)


def _by_add_on(account_a: str, source: Owner | None, target: Owner | None) -> Found:
    situations, reasons, needs = [], [], []
    if source is not None and source.account != account_a:
        situations.append(Situation.SOURCE_BUCKET)
        reasons.append(
            f"The source's account {source.account} is not connected, so the source's policy has to let in the add-on's"
            " role."
        )
        needs.append(Need.SCAN_ROLE)
    elif source is not None:
        reasons.append("The source is in account a, like the add-on's role, which does the work.")
    if target is not None and target.account != account_a:
        situations.append(Situation.TARGET_BUCKET)
        nobody = "" if source is not None else " (no source was named: one in account a, or not connected, is taken)"
        reasons.append(
            f"The add-on's own role puts the files into a bucket of account {target.account}{nobody}, so that bucket's "
            "policy has to let it in; whether that account is connected does not matter."
        )
    elif target is not None:
        reasons.append("The target is in account a, like the add-on's role.")
    return Found(tuple(situations) or (Situation.OWN_ACCOUNT,), " ".join(reasons), tuple(needs))
