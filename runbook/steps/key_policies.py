"""Policies of keys: what lets a role use a key is merged in, and exchanged where it is in the other mode."""

from collections.abc import Mapping, Sequence

from runbook.aws.kms import Key
from runbook.policy import document
from runbook.policy.document import Document, Statement
from runbook.policy.statements import Mode, key_statement
from runbook.steps.bucket_access import DECRYPT
from runbook.steps.merging import MODES, merged, parsed

GENERATE = "kms:GenerateDataKey"

READ, WRITE = (DECRYPT,), (GENERATE, DECRYPT)
"""What it takes to read what a key encrypts, and to write it. Decrypt to write is for uploads in several parts.

Source: Amazon S3 user guide, "Protecting data using server-side encryption with AWS KMS keys"."""


def wanted_key_policy(key: Key, needs: Mapping[str, Sequence[str]], mode: Mode, label: str) -> Document:
    """The key's policy with a statement for each role that lets it do what it needs, and what an earlier one let it.

    `label` is for Sids that are taken.
    """
    found = parsed(key.policy)
    assert found is not None  # only a key that AWS manages has none, and that is left alone
    for role, actions in needs.items():
        there = [each for each in _variants(role, key) if document.holds(found, each[0])]
        union = [action for action in WRITE if action in actions or any(action in had for _, had, _ in there)]
        statement = _key_statement(role, union, key, mode)
        known = [each for each, _, _ in _variants(role, key)]
        merged_policy = merged(found.text, [([statement], label)], known)
        assert merged_policy is not None
        found = merged_policy
    return found


def in_other_mode(key: Key, role: str, mode: Mode) -> bool:
    """Whether the key's policy has a statement of ours for the role in the mode that is not asked for."""
    present = parsed(key.policy)
    if document.same_meaning(*(_key_statement(role, WRITE, key, each) for each in MODES)):
        return False  # where the modes do not differ
    return any(document.holds(present, each) and other != mode for each, _, other in _variants(role, key))


def _variants(role: str, key: Key) -> list[tuple[Statement, Sequence[str], Mode]]:
    """Every statement that may ever have been put into the key's policy for a role, with its actions and mode."""
    return [(_key_statement(role, actions, key, mode), actions, mode) for actions in (READ, WRITE) for mode in MODES]


def _key_statement(role: str, actions: Sequence[str], key: Key, mode: Mode) -> Statement:
    """In mode hardened the key may be used through S3 alone; not in China, where that service's name is not known."""
    via = f"s3.{key.region}.amazonaws.com" if mode == "hardened" and key.arn.split(":")[1] != "aws-cn" else ""
    sid = "bucketAVEncrypt" if GENERATE in actions else "bucketAVDecrypt"
    return key_statement(role, actions=tuple(actions), sid=sid, via=via)
