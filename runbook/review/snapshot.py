"""What a state of the project means, as data: of every scenario its checks, its plan, and the access that it gives.

    python -P runbook/review/snapshot.py FILE

writes it to FILE as JSON. It is run by its file, with the package of the state in question on PYTHONPATH, which may be
an older one: it uses nothing of the review, and of the package only what every state has. What fails is told in the
data, scenario by scenario.
"""

import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ARGUMENTS: Mapping[str, str] = {
    "account_b": "222222222222",
    "account_id": "222222222222",
    "bucket": "BUCKET_NAME",
    "queue_arn": "arn:aws:sqs:eu-west-1:222222222222:QUEUE_NAME",
    "role_arn": "arn:aws:iam::111111111111:role/ROLE_NAME",
    "stack_name": "bucketav",
    "topic_arn": "arn:aws:sns:eu-west-1:111111111111:TOPIC_NAME",
}
"""What the functions of `runbook.policy.statements` are called with, by the names of their parameters."""


def main(arguments: Sequence[str]) -> int:
    """Write the snapshot of the package that is found on PYTHONPATH."""
    Path(arguments[0]).write_text(json.dumps(taken()), encoding="utf-8")
    return 0


def taken() -> dict[str, Any]:
    """Everything: `statements`, `parameters` and `scenarios`."""
    return {"statements": dict(statements()), "parameters": dict(parameters()), "scenarios": dict(scenarios())}


def statements() -> Iterator[tuple[str, Any]]:
    """What each function of `runbook.policy.statements` makes, in each mode, by its name and the mode."""
    from runbook.policy import statements as module

    for name, function in vars(module).items():
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
            for mode in ("literal", "hardened") if "mode" in inspect.signature(function).parameters else ("",):
                try:
                    yield f"{name} {mode}".strip(), _listed(_called(function, mode))
                except Exception as error:  # noqa: BLE001 (whatever another state of the package does is told)
                    yield f"{name} {mode}".strip(), f"{type(error).__name__}: {error}"


def parameters() -> Iterator[tuple[str, Any]]:
    """The default of every parameter of every step, as text, by the notebook."""
    from runbook.steps import ASKED

    for notebook, asked in ASKED.items():
        defaults = {
            name: "(must be given)" if field.is_required() else json.dumps(field.default, default=str)
            for name, field in asked.model_fields.items()
        }
        yield notebook, defaults


def scenarios() -> Iterator[tuple[str, Any]]:
    """Each scenario of each step in a sandbox of its own: what is checked, planned, and predicted."""
    from runbook.jobs import prepare
    from runbook.sandbox import server
    from runbook.steps import STEPS

    server.start()
    try:
        for notebook in STEPS:
            for job in _prepared(prepare, notebook):
                server.reset()
                try:
                    yield f"{notebook}/{job.scenario}", _previewed(job)
                except Exception as error:  # noqa: BLE001 (told, and the others go on)
                    yield f"{notebook}/{job.scenario}", {"error": f"{type(error).__name__}: {error}"}
    finally:
        server.stop()


# --- helpers ---------------------------------------------------------------------------------------------------------


def _prepared(prepare: Callable[..., Any], notebook: str) -> Any:
    return prepare(notebook, scenario=None, params=None, given={}, environment="sandbox")


def _previewed(job: Any) -> dict[str, Any]:
    from runbook.procedure import Procedure
    from runbook.steps import step_class
    from runbook.steps.scenarios import make_step

    step = make_step(step_class(job.notebook), "", job.asked.as_given())
    procedure = Procedure(step, job.environment, scenario=job.scenario)
    checks = procedure.check()
    plan = procedure.plan()
    verification = procedure.verify(procedure.preview(plan))
    return {
        "checks": [_check(check) for check in checks],
        "plan": plan.summary,
        "changes": [change.model_dump(mode="json") for change in plan.changes],
        "access": verification.access.as_json(),
    }


def _check(check: Any) -> list[str]:
    return [check.title, check.subject, str(check.status)]


def _called(function: Callable[..., Any], mode: str) -> Any:
    named = inspect.signature(function).parameters
    required = [name for name, each in named.items() if each.default is inspect.Parameter.empty]
    given = {name: ARGUMENTS[name] for name in required}
    return function(**given, **({"mode": mode} if mode else {}))


def _listed(made: Any) -> list[Any]:
    """One statement, or several."""
    return [dict(made)] if isinstance(made, Mapping) else [dict(each) for each in made]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
