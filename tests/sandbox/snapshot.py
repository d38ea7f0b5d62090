"""Every id that the seeded world holds, from moto's state: what two sandboxes have to agree on.

`python -m tests.sandbox.snapshot` starts a sandbox and prints it as JSON.
"""

from __future__ import annotations

import json
from typing import Any

from runbook.sandbox import server

ACCOUNTS = ("999999999999", *(each * 12 for each in "12345678"))


def snapshot() -> dict[str, Any]:
    from moto.cloudformation.models import cloudformation_backends
    from moto.iam.models import iam_backends
    from moto.kms.models import kms_backends
    from moto.organizations.models import organizations_backends
    from moto.s3.models import FakeKey, s3_backends
    from moto.sns.models import sns_backends
    from moto.sqs.models import sqs_backends

    organization = organizations_backends[ACCOUNTS[0]]["aws"]
    return {
        "organization": [
            organization.org.id if organization.org else "",
            organization.org.root_id if organization.org else "",
        ],
        "units": [[unit.id, unit.name, unit.parent_id] for unit in organization.ou],
        "accounts": [[account.id, account.name, account.email, account.parent_id] for account in organization.accounts],
        "roles": {
            account: [[role.arn, role.id, role.policies] for role in iam_backends[account]["aws"].roles.values()]
            for account in ACCOUNTS
        },
        "keys": {
            account: [
                [key.arn, key.policy, list(key.aliases)] for key in kms_backends[account]["eu-west-1"].keys.values()
            ]
            for account in ACCOUNTS
        },
        "buckets": {
            bucket.name: [
                bucket.account_id,
                bucket.region_name,
                (bucket.policy or b"").decode(),
                bucket.encryption,
                [
                    [found.name, found.version_id, found.value.decode() if isinstance(found, FakeKey) else None]
                    for name in bucket.keys
                    for found in bucket.keys.getlist(name)
                ],
            ]
            for account in ACCOUNTS
            for bucket in s3_backends[account]["aws"].buckets.values()
        },
        "queues": {
            queue.queue_arn: [queue.attributes["Policy"], [message.id for message in queue._messages]]
            for account in ACCOUNTS
            for queue in sqs_backends[account]["eu-west-1"].queues.values()
        },
        "subscriptions": list(sns_backends[ACCOUNTS[1]]["eu-west-1"].subscriptions),
        "stacks": [
            [
                stack.stack_id,
                stack.outputs,
                [getattr(resource, "physical_resource_id", None) for resource in stack.stack_resources],
            ]
            for account in ACCOUNTS
            for stack in cloudformation_backends[account]["eu-west-1"].stacks.values()
        ],
    }


if __name__ == "__main__":
    server.start()
    print(json.dumps(snapshot(), default=str))
