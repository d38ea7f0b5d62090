"""What somebody has who begins: the questions whose answers decide between the approaches. Notebook 00-start-here."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from runbook.environment import Environment
from runbook.parameters import Number, ParameterError, Several, YesOrNo, quoted
from runbook.steps.inventory import (
    Account,
    BucketAddress,
    FindingsQueue,
    UnitName,
    account_ids,
    parse_address,
    with_account_ids,
)
from runbook.steps.step import Asked
from runbook.untrusted import code

AddOnName = Literal["move-clean", "move-no", "quarantine", "scheduled-bucket-scan", "other"]


class StartHere(Asked):
    """Parameters of notebook 00-start-here."""

    notebook: ClassVar[str] = "00-start-here"
    title: ClassVar[str] = "Start here: many accounts, one bucketAV"
    default_scenario: ClassVar[str] = "few-accounts"

    same_account: YesOrNo = Field(False, description="bucketAV can run in the account of the buckets itself")
    accounts: Several[Account] = Field((), description="accounts to scan as a whole, each by its id or its name")
    buckets: Several[BucketAddress] = Field((), description="single buckets to scan, each as ACCOUNT/BUCKET")
    number_of_accounts: Number = Field(0, ge=0, description="how many accounts it will be; 0: those that are named")
    organization: Literal["look", "yes", "no"] = Field(
        "look", description="they are all in one AWS organization; look: as the environment shows"
    )
    organizational_units: Several[UnitName] = Field(
        (), description="OUs to scan with all their accounts, those to come among them: Workloads/Production"
    )
    create_roles: YesOrNo = Field(True, description="an IAM role may be created in these accounts")
    encryption: Literal["look", "s3", "customer-managed-key", "aws-managed-key"] = Field(
        "look", description="how the buckets are encrypted; look: as the environment shows"
    )
    add_ons: Several[AddOnName] = Field(
        (), description="add-ons that are to work with these buckets; other: any but the four"
    )
    target_buckets: Several[BucketAddress] = Field(
        (), description="where add-ons move files to, each as ACCOUNT/BUCKET"
    )
    queues: Several[FindingsQueue] = Field((), description="queues that are to get the findings, each as ACCOUNT/QUEUE")

    @model_validator(mode="after")
    def _addresses(self) -> "StartHere":
        for name in ("buckets", "target_buckets"):
            for address in getattr(self, name):
                parse_address(address, code(name))
        if wrong := [address for address in self.queues if address.count("/") != 1]:
            raise ValueError(f"`queues`: {quoted(wrong[0])} is not of the form ACCOUNT/QUEUE.")
        return self

    def examine(self, environment: Environment) -> None:
        problems: list[str] = []
        account_ids(self.accounts, environment, "accounts", problems)
        account_ids([address.partition("/")[0] for address in self.queues], environment, "queues", problems)
        if problems:
            raise ParameterError(problems)
        for name in ("buckets", "target_buckets"):
            listed = [parse_address(address, code(name)) for address in getattr(self, name)]
            with_account_ids(listed, environment, code(name))
