"""What was answered, brought together with what is there: which accounts and buckets are meant, and how they are."""

from dataclasses import dataclass

from runbook.aws.organizations import MANAGEMENT
from runbook.steps.start_here import StartHere
from runbook.steps.topology import AccountState, BucketState, Encryption, Topology, Way
from runbook.untrusted import NOTHING

MANY = 5
"""From so many accounts on, of an organization, a stack set is less work. The page says `many` and gives no number."""


@dataclass(frozen=True)
class NamedBucket:
    """A bucket that was named, as it was named, and what is known of it."""

    address: str
    account: str
    state: BucketState | None


@dataclass(frozen=True)
class Case:
    """The answers, brought together with what is there. `accounts` are all that are meant, account a not among them."""

    given: StartHere
    topology: Topology
    accounts: tuple[AccountState, ...]
    buckets: tuple[NamedBucket, ...]
    targets: tuple[NamedBucket, ...]
    home: bool

    @classmethod
    def of(cls, given: StartHere, topology: Topology) -> "Case":
        """Look up what the answers name. Where no account is named at all, all that the environment names are meant."""
        buckets = tuple(_bucket(topology, address) for address in given.buckets)
        named = [_account(topology, each) for each in given.accounts]
        named += [_account(topology, each.account) for each in buckets]
        if not named and not given.organizational_units:
            named = [each for each in topology.accounts if each.label and each.label != MANAGEMENT]
        meant = tuple(dict.fromkeys(each for each in named if each.way is not Way.HOME and each.active))
        targets = tuple(_bucket(topology, address) for address in given.target_buckets)
        home = any(each.way is Way.HOME for each in named) and bool(given.accounts or given.buckets)
        return cls(given, topology, meant, buckets, targets, home)

    @property
    def single(self) -> bool:
        """Whether single buckets are meant, and no account as a whole."""
        return bool(self.buckets) and not self.given.accounts and not self.given.organizational_units

    @property
    def number(self) -> int:
        """How many accounts it is about, as far as that is known."""
        return max(self.given.number_of_accounts, len(self.accounts))

    @property
    def many(self) -> bool:
        return self.number >= MANY or bool(self.given.organizational_units)

    @property
    def organization(self) -> bool:
        """Whether all of the accounts are in one organization, with account a."""
        if self.given.organization != "look":
            return self.given.organization == "yes"
        own = self.topology.organization
        return own is not None and (own.members is None or all(each.id in own.members for each in self.accounts))

    @property
    def to_open(self) -> tuple[NamedBucket, ...]:
        """The buckets that were named or, where accounts were, theirs that were found; but for account a's own."""
        found = [
            NamedBucket(f"{called(account)}/{bucket.name}", account.id, bucket)
            for account in self.accounts
            for bucket in account.buckets
        ]
        listed = list(self.buckets) if self.single else found
        return tuple(each for each in listed if each.account != self.topology.accounts[0].id)

    def encrypted(self, how: Encryption) -> bool:
        """Whether a bucket is encrypted so: as the answer says, or as was found."""
        answer = {
            "s3": Encryption.PLAIN,
            "customer-managed-key": Encryption.CUSTOMER,
            "aws-managed-key": Encryption.AWS,
        }
        if self.given.encryption != "look":
            return answer[self.given.encryption] is how
        return any(each.state is not None and each.state.encryption is how for each in (*self.to_open, *self.targets))


def _account(topology: Topology, name: str) -> AccountState:
    """An account by its name or id; one that was not looked at is as if nothing were known of it."""
    found = next((each for each in topology.accounts if name in (each.label, each.id)), None)
    return found or AccountState(name, "", NOTHING, active=True, way=Way.APART)


def _bucket(topology: Topology, address: str) -> NamedBucket:
    account, _, name = address.partition("/")
    owner = _account(topology, account)
    return NamedBucket(address, owner.id, next((each for each in owner.buckets if each.name == name), None))


def called(account: AccountState) -> str:
    """How a parameter names an account."""
    return account.label or account.id
