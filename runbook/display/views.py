"""What checks, plans, runs and verifications look like as HTML."""

from functools import singledispatch

from runbook.checks import Checks, Status
from runbook.display.matrix import matrix
from runbook.display.plan_view import plan_view
from runbook.display.rich_text import from_markdown
from runbook.display.style import problem
from runbook.display.worker import Cancelled
from runbook.errors import RunbookError
from runbook.plan import Plan
from runbook.put_back import PutBack
from runbook.run import Run, Undone
from runbook.secrets import trace
from runbook.steps.step import Verification
from runbook.untrusted import escaped


@singledispatch
def view(result: object) -> str:
    """The HTML of a result."""
    raise TypeError(f"There is no view of {type(result).__name__}.")


@view.register
def _(checks: Checks) -> str:
    """What does not look well first, in full; the rest folded."""
    fine = Checks(checks.with_status(Status.OK))
    others = Checks(tuple(check for check in checks if check.status is not Status.OK))
    parts = [f"<p><b>{checks.summary}</b></p>{_table(others)}"] if others.items else []
    parts += [f"<details><summary><b>✓ {fine.summary}</b></summary>{_table(fine)}</details>"] if fine.items else []
    return "".join(parts) or checks.summary


@view.register
def _(plan: Plan) -> str:
    return plan_view(plan)


@view.register
def _(run: Run) -> str:
    return from_markdown(run._repr_markdown_())


@view.register
def _(verification: Verification) -> str:
    return f"{matrix(verification.access)}{view(verification.checks)}"


@view.register
def _(back: PutBack) -> str:
    """The whole of it, with the sentence that asks for the second click."""
    return f"{from_markdown(back.to_markdown())}<p><b>{back.question}</b> Then click <i>Put back</i>.</p>"


@view.register
def _(undone: Undone) -> str:
    return "<ul>" + "".join(f"<li>{escaped(line)}</li>" for line in repr(undone).splitlines()) + "</ul>"


def view_of_failure(failure: BaseException, stage: str) -> str:
    """Why something ended early, and what that means; of what nobody expected, where it was raised as well."""
    if isinstance(failure, Cancelled):
        stands = {
            "Apply": "What was changed so far stands and is in the journal: Apply goes on, Undo takes it back.",
            "Undo": "What was put back so far stays so; Undo goes on.",
        }
        return problem(f"Stopped. {stands.get(stage, 'Nothing was changed.')}")
    if isinstance(failure, RunbookError):
        return problem(f"{type(failure).__name__}: {failure}")
    raised = escaped(trace(failure))
    told = problem(f"{type(failure).__name__}: {failure}")
    return f"{told}<details><summary>Where it was raised</summary><pre>{raised}</pre></details>"


def _table(checks: Checks) -> str:
    return from_markdown(checks._repr_markdown_().rpartition("\n\n")[0])
