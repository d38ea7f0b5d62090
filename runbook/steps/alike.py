"""Buckets that differ in nothing but their name: what is worked out for one of them holds for all."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from runbook.checks import Check
from runbook.policy import naming
from runbook.steps.openings import Opening, State

Result = TypeVar("Result")


class Alike:
    """Answers about the openings of one look, each worked out once for all that are alike.

    An opening is put down to its model: the same with a stand-in for the bucket's name, where `policy.naming` finds
    that no name can make a difference, and the opening itself where one might. Answers about a model name the stand-in;
    whoever tells them puts the bucket's name in its place.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self._models: dict[Opening, Opening] = {}
        self._ids: set[int] = set()
        self._answers: dict[tuple[object, ...], Any] = {}
        self._beginnings: dict[tuple[str, str], tuple[str, ...] | None] = {}

    def model(self, opening: Opening) -> Opening:
        """What stands for the opening; the same object for all that are alike."""
        found = self._with_stand_in(opening)
        if found is None:
            return opening
        model = self._models.setdefault(found, found)
        self._ids.add(id(model))
        return model

    def models(self, *openings: Opening) -> tuple[Opening, ...]:
        """What stands for several states of one bucket, all under one name."""
        found = tuple(map(self.model, openings))
        return found if self._ids.issuperset(map(id, found)) else openings

    def once(self, question: Callable[..., Result], *models: Opening) -> Result:
        """The answer of `question(state, *models)`."""
        if not self._ids.issuperset(map(id, models)):
            return question(self.state, *models)
        key = (question, *map(id, models))
        if key not in self._answers:
            self._answers[key] = question(self.state, *models)
        answer: Result = self._answers[key]
        return answer

    def checks(self, question: Callable[..., tuple[Check, ...]], opening: Opening, *models: Opening) -> list[Check]:
        """Checks about models, told of the opening that they stand for."""
        names = models[-1].bucket.name, opening.bucket.name
        return [check.renamed(*names) for check in self.once(question, *models)]

    def _with_stand_in(self, opening: Opening) -> Opening | None:
        bucket, key = opening.bucket, opening.key
        foreign = (opening.key_problem, key.policy if key and key.policy else "")
        if any(map(naming.may_hold_stand_in, foreign)) or self._may_be_singled_out(opening):
            return None
        name = naming.stand_in(bucket.name)
        arn = f"{bucket.arn.removesuffix(bucket.name)}{name}"
        policy = None
        if bucket.policy is not None:
            policy = naming.renamed(bucket.policy, bucket.arn, arn)
            if policy is None:
                return None
        return replace(
            opening,
            target=opening.target.model_copy(update={"bucket": name}),
            bucket=replace(bucket, name=name, arn=arn, policy=policy),
        )

    def _may_be_singled_out(self, opening: Opening) -> bool:
        """Whether the scan role's own policies, or those of the organization, may mean this very bucket."""
        bucket = opening.bucket
        key = bucket.account, opening.key.account if opening.key else bucket.account
        if key not in self._beginnings:
            caller = self.state.caller
            levels = [*caller.service_control_policies]
            for account in key:
                levels += caller.resource_control_policies.get(account, ())
            policies = [*caller.role.identity_policies, *(policy for level in levels for policy in level)]
            if caller.role.permissions_boundary is not None:
                policies.append(caller.role.permissions_boundary)
            self._beginnings[key] = naming.telling(policies, bucket.arn.split(":")[1])
        beginnings = self._beginnings[key]
        return beginnings is None or naming.may_be_meant(bucket.arn, beginnings)
