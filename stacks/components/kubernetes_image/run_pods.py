"""The pods of a run, looked at while it goes on: what keeps one from running is told, and remembered."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from stacks.cluster.namespace import Namespace
from stacks.cluster.pods import Trouble, trouble_of
from stacks.errors import StackError

_EVERY = 2.0  # seconds
_RUN, _STEP = "run_id", "step_name"  # ZenML's labels


class RunPods:
    """Looks at the pods of a run; those of a failed step are gone soon after it."""

    def __init__(self, namespace: Namespace, run: str) -> None:
        self._namespace, self._run = namespace, run
        self._trouble: Trouble | None = None
        self._told = ""
        self._steps: set[str] = set()

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
        """Return what was wrong with a pod, None if nothing was seen."""
        return self._told or None

    def _look_until(self, ended: threading.Event) -> None:
        while not ended.wait(_EVERY):
            try:
                self._look()
            except StackError:  # ZenML, who waits, tells of a cluster that is gone
                continue

    def _look(self) -> None:
        pods = self._namespace.list("Pod", {_RUN: self._run})
        for step in (pod["metadata"].get("labels", {}).get(_STEP) for pod in pods):
            if step and step not in self._steps:
                self._steps.add(step)
                print(f"  {step.replace('_', ' ')} ...", file=sys.stderr, flush=True)
        trouble = trouble_of(pods) or self._refused(bool(pods))
        if trouble is not None and trouble != self._trouble:
            self._trouble = trouble
            self._told = f"{trouble.words}{self._namespace.last_words(pods)}"
            print(f"  {self._told}", file=sys.stderr, flush=True)

    def _refused(self, has_pods: bool) -> Trouble | None:
        """Tell why a job gets no pod, and end it: neither Kubernetes nor ZenML would."""
        if has_pods:
            return None
        refusals = self._namespace.refusals()
        for job in (job["metadata"]["name"] for job in self._namespace.list("Job", {_RUN: self._run})):
            if job in refusals:
                self._namespace.delete("Job", job)
                return Trouble(f"The cluster refuses its pods: {refusals[job]}", True)
        return None
