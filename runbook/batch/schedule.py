"""Which job comes next: those that it needs are over, and not too many are at work in its accounts."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from runbook.batch.fleet import FleetJob
from runbook.untrusted import code


class Schedule:
    """Hands out the `wanted` ones among the `jobs` of a fleet; those in `done` need not be run.

    `jobs_at_a_time` is how many may be about one account at a time, None any number. A `preview` changes nothing, so
    that a job that fails is nothing that others would have to wait for.
    """

    def __init__(
        self,
        jobs: Iterable[FleetJob],
        *,
        wanted: Collection[str],
        done: Collection[str] = (),
        jobs_at_a_time: int | None = None,
        preview: bool = False,
    ) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._limit = jobs_at_a_time
        self._preview = preview
        self._busy: Counter[str] = Counter()
        self._over = {name for name in self._jobs if name in done or (preview and name not in wanted)}
        self._followers: dict[str, list[str]] = {}
        self._lacking: dict[str, set[str]] = {}
        self._ready: dict[str, None] = {}
        for name, job in self._jobs.items():
            if name in wanted:
                earlier = [other for other in job.after if other in wanted]
                self._lacking[name] = {other for other in (*job.needs, *earlier) if other not in self._over}
                for need in self._lacking[name]:
                    self._followers.setdefault(need, []).append(name)
                if not self._lacking[name]:
                    self._ready[name] = None

    def take(self) -> FleetJob | None:
        """The next job, which counts as begun; None when there is none at the moment."""
        for name in self._ready:
            job = self._jobs[name]
            if self._limit is None or all(self._busy[account] < self._limit for account in job.accounts):
                del self._ready[name]
                self._busy.update(job.accounts)
                return job
        return None

    def over(self, name: str, *, succeeded: bool) -> None:
        """A job has ended: others may be able to begin, those that need it only when it has succeeded."""
        self._busy.subtract(self._jobs[name].accounts)
        for follower in self._followers.pop(name, ()):
            if name in self._jobs[follower].needs and not (succeeded or self._preview):
                continue
            self._lacking[follower].discard(name)
            if not self._lacking[follower]:
                self._ready[follower] = None


def not_begun(jobs: Iterable[FleetJob], succeeded: Mapping[str, bool]) -> dict[str, str]:
    """Why each job that was not begun was not; `succeeded` holds those that were, and whether they did."""
    why: dict[str, str] = {}
    for job in jobs:
        if job.name in succeeded:
            continue
        missing = [need for need in job.needs if not succeeded.get(need, False)]
        if missing:
            said = "did not succeed" if missing[0] in succeeded else "was not run"
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            why[job.name] = f"It needs {code(missing[0])}{more}, which {said}."
        else:
            why[job.name] = "The batch ended before its turn came."
    return why
