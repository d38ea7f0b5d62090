"""What has to be changed for add-ons: stacks that keep their roles from keys, policies of keys, policies of buckets."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runbook import markdown
from runbook.aws.cloudformation import Stack
from runbook.aws.kms import Key
from runbook.aws.stack_parameters import as_text, resource_of
from runbook.environment import Environment
from runbook.plan import Change
from runbook.policy import document
from runbook.policy.statements import key_statement
from runbook.steps.add_on_parts import Part, wanted_policy
from runbook.steps.add_ons_state import Site, State
from runbook.steps.bucket_access import Caller, Documents, decide, key_half
from runbook.steps.key_policies import GENERATE, in_other_mode, wanted_key_policy
from runbook.steps.merging import MODES, body, parsed
from runbook.untrusted import code

RESTRICTION = "KMSKeyRestriction"


def changes(environment: Environment, state: State, leave_out: Collection[str]) -> tuple[Change, ...]:
    """The differences: what a role may do by itself first, then keys, then the buckets that they encrypt.

    None for the addresses and routes in `leave_out`.
    """
    sites = [site.without(leave_out) for site in state.sites if site.address not in leave_out]
    uses = [use for use in key_uses(sites) if state.wish.key_policy == "change" and use.role in state.callers]
    return (
        *_stack_changes(environment, state, uses),
        *_key_changes(state, uses),
        *_bucket_changes(state, sites),
    )


# --- keys ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeyUse:
    """What a part needs of a key that people manage."""

    site: Site
    part: Part
    key: Key

    @property
    def role(self) -> str:
        """The ARN of the role."""
        return self.part.role_arn


def key_uses(sites: Iterable[Site]) -> list[KeyUse]:
    """Every use of a key whose policy can be changed."""
    return [
        KeyUse(site, part, each.key)
        for site in sites
        for part in site.parts
        for each in site.keys_for(part)
        if each.key and not each.key.aws_managed
    ]


def key_is_open(caller: Caller, use: KeyUse, policy: str | None) -> bool:
    """Whether a key's policy gives a role its half of what it needs."""
    return all(
        key_half(caller, use.site.bucket, use.key, body(policy), action).allowed for action in use.part.key_actions
    )


def desired_key_policies(state: State, uses: Iterable[KeyUse]) -> Mapping[str, str]:
    """For the ARN of each key that is not open to all who need it, or in the other mode, its policy as it is to be."""
    needs: dict[str, dict[str, list[str]]] = {}
    keys: dict[str, KeyUse] = {}
    for use in uses:
        caller = state.callers[use.role]
        same_account = use.part.account == use.key.account
        if not key_is_open(caller, use, use.key.policy) or (
            not same_account and in_other_mode(use.key, use.role, state.wish.mode)
        ):
            keys.setdefault(use.key.arn, use)
            needs.setdefault(use.key.arn, {}).setdefault(use.role, []).extend(use.part.key_actions)
    found = {arn: wanted_key_policy(use.key, needs[arn], state.wish.mode, "AddOn") for arn, use in keys.items()}
    return {
        arn: desired.text
        for arn, desired in found.items()
        if not document.same_meaning(parsed(keys[arn].key.policy), desired)
    }


def _key_changes(state: State, uses: Sequence[KeyUse]) -> Iterable[Change]:
    for arn, after in desired_key_policies(state, uses).items():
        own = [use for use in uses if use.key.arn == arn]
        roles = {use.part.who: [*use.part.key_actions] for use in own}
        for use in own:
            roles[use.part.who] += [each for each in use.part.key_actions if each not in roles[use.part.who]]
        may = "; ".join(f"{who} {_may(actions)}" for who, actions in roles.items())
        yield Change(
            resource=own[0].key.policy_resource,
            summary=f"let {may} with this key",
            before=own[0].key.policy,
            after=after,
            outline=tuple(dict.fromkeys(use.part.key_outline for use in own)),
        )


def _may(actions: Collection[str]) -> str:
    return "encrypt and decrypt" if GENERATE in actions else "decrypt"


# --- what roles may do by themselves ---------------------------------------------------------------------------------


def owning_stack(state: State, role: str) -> Stack | None:
    """The stack that made a role: an add-on's, or bucketAV's own; None for a connection's, in another account."""
    if role == state.scan_role:
        return state.stack
    return next((each.stack for each in state.installed.add_ons if each.role_arn == role), None)


def kept_from_key(caller: Caller, use: KeyUse) -> bool:
    """Whether the role's own policies keep it from what it needs of a key, however open that is."""
    statement = key_statement(use.role, actions=use.part.key_actions)
    open_key = Documents(None, document.new([statement]).body)
    answers = [decide(caller, use.site.bucket, use.key, open_key, action) for action in use.part.key_actions]
    return any(not answer.allowed and not answer.explicit for answer in answers)


def wanted_restrictions(state: State, uses: Iterable[KeyUse]) -> Mapping[str, tuple[str, ...]]:
    """For the ARN of each stack whose KMSKeyRestriction keeps its role from a key: the keys to be on it, in order."""
    found: dict[str, tuple[str, ...]] = {}
    for use in uses:
        stack = owning_stack(state, use.role)
        if stack is None or RESTRICTION not in stack.parameters or not kept_from_key(state.callers[use.role], use):
            continue
        present = found.get(stack.arn, stack.parameter_list(RESTRICTION))
        wanted = tuple(dict.fromkeys((*present, use.key.arn)))
        if not kept_from_key(with_restriction(state.callers[use.role], stack, wanted), use):
            found[stack.arn] = wanted
    return found


def with_restriction(caller: Caller, stack: Stack, wanted: Sequence[str]) -> Caller:
    """A role as it will be when its stack's KMSKeyRestriction is another one.

    Predicted: where the resources of a statement about KMS are the restriction of now, they are then the other one.
    """
    present = set(stack.parameter_list(RESTRICTION))

    def changed(statement: Mapping[str, Any]) -> Mapping[str, Any]:
        resources = statement.get("Resource", [])
        listed = {resources} if isinstance(resources, str) else set(resources)
        return {**statement, "Resource": list(wanted)} if listed == present and _about_kms(statement) else statement

    policies = []
    for policy in caller.role.identity_policies:
        statements = policy.get("Statement", [])
        statements = statements if isinstance(statements, list) else [statements]
        policies.append({**policy, "Statement": [changed(each) for each in statements]})
    return replace(caller, role=replace(caller.role, identity_policies=tuple(policies)))


def _about_kms(statement: Mapping[str, Any]) -> bool:
    actions = statement.get("Action", [])
    return all(each.lower().startswith("kms:") for each in ([actions] if isinstance(actions, str) else actions))


def _stack_changes(environment: Environment, state: State, uses: Sequence[KeyUse]) -> Iterable[Change]:
    stacks = {stack.arn: stack for use in uses if (stack := owning_stack(state, use.role))}
    for arn, wanted in wanted_restrictions(state, uses).items():
        stack = stacks[arn]
        new = [key for key in wanted if key not in stack.parameter_list(RESTRICTION)]
        outline = (use.part.key_outline for use in uses if (own := owning_stack(state, use.role)) and own.arn == arn)
        yield Change(
            resource=resource_of(environment, stack),
            summary=f"let the role of stack {code(stack.name)} use {markdown.count(len(new), 'more key')}: "
            f"{markdown.names(new)}",
            before=as_text(stack.parameters),
            after=as_text({**stack.parameters, RESTRICTION: ",".join(wanted)}),
            outline=tuple(dict.fromkeys(outline)),
        )


def predicted_callers(state: State, uses: Sequence[KeyUse]) -> Mapping[str, Caller]:
    """The roles as they will be after the stacks' changes."""
    found = dict(state.callers)
    restrictions = wanted_restrictions(state, uses)
    for role, caller in state.callers.items():
        stack = owning_stack(state, role)
        if stack is not None and stack.arn in restrictions:
            found[role] = with_restriction(caller, stack, restrictions[stack.arn])
    return found


# --- buckets ---------------------------------------------------------------------------------------------------------


def _bucket_changes(state: State, sites: Iterable[Site]) -> Iterable[Change]:
    for site in sites:
        desired = desired_policy(state, site)
        present = parsed(site.bucket.policy)
        if not document.same_meaning(present, desired):
            parts = [part for part in site.parts if part.crosses(site.bucket.account)]
            yield Change(
                resource=site.bucket.policy_resource,
                summary=_summary(site, parts, _gone(site)),
                before=site.bucket.policy,
                after=desired.text if desired else None,
                outline=tuple(dict.fromkeys(part.outline for part in (*parts, *_gone(site)))),
            )


def desired_policy(state: State, site: Site) -> document.Document | None:
    """The bucket's policy as it is to be; None where it has none and needs none."""
    return wanted_policy(site.bucket, site.parts, site.unwanted, state.wish.mode)


def _gone(site: Site) -> list[Part]:
    """The parts that are not wanted any more and that the policy has something of."""
    present = parsed(site.bucket.policy)
    return [
        part
        for part in site.unwanted
        if any(document.holds(present, each) for mode in MODES for each in part.statements(site.bucket, mode))
    ]


def _summary(site: Site, parts: Sequence[Part], gone: Sequence[Part]) -> str:
    """`let x of account 1 list and put, y of account 1 list, read and delete in `uploads-b``."""
    told = "; ".join(f"{part.who} {part.does}" for part in parts)
    lost = "; ".join(f"{part.who} {part.does}" for part in gone)
    texts = [f"let {told} in {code(site.bucket.name)}"] if told else []
    return "; ".join([*texts, *([f"no longer let {lost} in {code(site.bucket.name)}"] if lost else [])])
