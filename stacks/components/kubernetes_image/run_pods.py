"""The pods of a run, looked at while it goes on: what keeps one from running is told, and remembered."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from stacks.cluster.namespace import Namespace
from stacks.cluster.objects import Manifest
from stacks.cluster.pod_troubles import Trouble, has_ended, in_words, is_ending, trouble_of
from stacks.errors import StackError

_EVERY = 2.0  # seconds
_PATIENCE = 30.0  # seconds for which a job may be refused its pods: a quota is free again when others end
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# What ZenML and MLflow warn of in an image that has no pip, and where other frameworks are not installed.
_NOISE = (
    "Failed to get list of installed Python packages",
    "Failed to resolve installed pip version",
    "Failed to disable MLflow autologging",
)
# How a stack trace begins, and what stands between two of them.
_TRACE = (
    "Traceback (most recent call last)",
    "During handling of the above exception",
    "The above exception was the direct cause",
)
_RUN, _STEP = "run_id", "step_name"  # ZenML's labels
_JOB = "job-name"  # Kubernetes' label of a job's pods
_WELL = ("Running", "Succeeded")  # phases of a pod
_LOGS = (*_WELL, "Failed")  # in which it may have said something


class RunPods:
    """Looks at the pods of a run; those of a failed step are gone soon after it."""

    def __init__(self, namespace: Namespace, run: str) -> None:
        self._namespace, self._run = namespace, run
        self._trouble: Trouble | None = None
        self._report = ""
        self._steps: set[str] = set()
        self._about: set[str] = set()  # the pod or job in trouble, and the job of such a pod
        self._refused_since: dict[str, float] = {}
        self._last_pod: dict[str, str] = {}  # when it was made, by job
        self._read: set[str] = set()  # pods that have ended, and say no more
        self._in_trace: set[str] = set()  # pods whose last line was of a stack trace
        self._said: dict[str, str] = {}  # when what was shown last was said, by pod

    @contextmanager
    def looked_at(self) -> Iterator[None]:
        """Look at them as long as this is open."""
        ended = threading.Event()
        looking = threading.Thread(target=self._look_until, args=(ended,), daemon=True)
        looking.start()
        try:
            yield
        finally:
            ended.set()
            looking.join()

    def reason(self) -> str | None:
        """Return what was wrong with a pod, None if nothing was seen, or it runs by now."""
        return self._report or None

    def forget(self, secret: str) -> None:
        """Delete a Secret that only the run's own pod would have, once that can no longer do so."""
        with suppress(StackError):  # why the run failed is what a person wants to know
            jobs = self._namespace.list("Job", {_RUN: self._run})
            if not any(_STEP not in job["metadata"]["labels"] and not _is_over(job) for job in jobs):
                self._namespace.delete("Secret", secret)

    def _look_until(self, ended: threading.Event) -> None:
        while not ended.wait(_EVERY):
            with suppress(StackError):  # ZenML, who waits, tells of a cluster that is gone
                self._look()
        with suppress(StackError):  # what steps have said since
            self._follow(self._namespace.list("Pod", {_RUN: self._run}))

    def _look(self) -> None:
        pods = self._namespace.list("Pod", {_RUN: self._run})
        for step in (pod["metadata"].get("labels", {}).get(_STEP) for pod in pods):
            if step and step not in self._steps:
                self._steps.add(step)
                print(f"  {step.replace('_', ' ')} ...", file=sys.stderr, flush=True)
        self._follow(pods)
        newest = _newest(pods)
        refused = self._refused(newest)
        others = [pod for pod in newest if refused is None or _job_of(pod) != refused.name]
        trouble = trouble_of(others) or refused
        if trouble is not None:
            self._tell(trouble, pods)
        elif self._has_passed(newest):
            self._trouble, self._report = None, ""

    def _follow(self, pods: Iterable[Manifest]) -> None:
        """Show what steps have logged since the last look."""
        for pod in pods:
            step, name = pod["metadata"].get("labels", {}).get(_STEP), pod["metadata"]["name"]
            if not step or pod.get("status", {}).get("phase") not in _LOGS or name in self._read:
                continue
            if has_ended(pod):
                self._read.add(name)
            container = pod["spec"]["containers"][0]["name"]
            for moment, line in self._namespace.logged_since(name, container, self._said.get(name, "")):
                self._said[name] = moment
                plain = _COLOURS.sub("", line)
                if self._is_of_trace(name, plain):
                    continue
                # Of a progress bar, what a terminal would show.
                words = plain.strip().rpartition("\r")[2].strip()
                title = step.replace("_", " ")
                if words and words != f"{title} ..." and not any(part in words for part in _NOISE):
                    print(f"  {title}: {words}", file=sys.stderr, flush=True)

    def _is_of_trace(self, pod: str, line: str) -> bool:
        """Tell whether a line is of a stack trace, which ZenML keeps: a person is told in words."""
        if line.startswith(_TRACE):
            self._in_trace.add(pod)
            return True
        if pod not in self._in_trace:
            return False
        if line.strip() and not line[0].isspace():  # the exception, which ends it
            self._in_trace.discard(pod)
        return True

    def _tell(self, trouble: Trouble, pods: Iterable[Manifest]) -> None:
        before, self._trouble = self._trouble, trouble
        about = [pod for pod in pods if pod["metadata"]["name"] == trouble.name]
        self._about = {trouble.name, *filter(None, map(_job_of, about))}
        if before is None or trouble.words != before.words:
            self._report = f"{trouble.words}{self._namespace.last_words(about)}"
            print(f"  {self._report}", file=sys.stderr, flush=True)

    def _has_passed(self, newest: Iterable[Manifest]) -> bool:
        """Tell whether what was in trouble runs, or has done its work; a pod that is gone may have failed."""
        well = [pod for pod in newest if pod.get("status", {}).get("phase") in _WELL and not is_ending(pod)]
        return any(self._about & {pod["metadata"]["name"], _job_of(pod)} for pod in well)

    def _refused(self, newest: Iterable[Manifest]) -> Trouble | None:
        """Tell why a job gets no pod, and end it in a while: neither Kubernetes nor ZenML would."""
        started = self._started(newest)
        jobs = self._namespace.list("Job", {_RUN: self._run})
        waiting = [job["metadata"]["name"] for job in jobs if not _is_over(job)]
        waiting = [name for name in waiting if name not in started]
        refusals = self._namespace.refusals() if waiting else {}
        troubles = [
            self._refusal(job, refusals[job].words)
            for job in waiting
            if job in refusals and (job not in self._last_pod or refusals[job].at > self._last_pod[job])
        ]
        return next(iter(troubles), None)

    def _started(self, newest: Iterable[Manifest]) -> set[str]:
        """Return the jobs that have a pod now: what kept it from them is over, though events stay an hour."""
        made = {job: pod for pod in newest if (job := _job_of(pod))}
        self._last_pod |= {job: _made_at(pod) for job, pod in made.items()}
        started = {job for job, pod in made.items() if not has_ended(pod)}
        self._refused_since = {job: at for job, at in self._refused_since.items() if job not in started}
        return started

    def _refusal(self, job: str, words: str) -> Trouble:
        since = self._refused_since.setdefault(job, time.monotonic())
        hopeless = time.monotonic() - since >= _PATIENCE
        if hopeless:
            self._namespace.delete("Job", job)
        return Trouble(f"The cluster refuses the pods of job {job}: {in_words(words)}", hopeless, job)


def _is_over(job: Manifest) -> bool:
    return bool(job.get("status", {}).get("conditions"))


def _newest(pods: Iterable[Manifest]) -> list[Manifest]:
    """Return the last pod of each job: one that was evicted or failed stays listed beside the next."""
    last = {_job_of(pod) or pod["metadata"]["name"]: pod for pod in sorted(pods, key=_made_at)}
    return list(last.values())


def _job_of(pod: Manifest) -> str | None:
    job: str | None = pod["metadata"].get("labels", {}).get(_JOB)
    return job


def _made_at(pod: Manifest) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))
