"""Runs started from the console: threads of this process, with their progress."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from heap_courier.errors import CourierError, InterruptedRunError, internal_error

KEPT: Final = 200  # finished jobs

State = Literal["running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a job.

    Attributes:
        state: whether it is running, succeeded or failed.
        stage: the current stage; empty before the first one.
        done: bytes or rows processed in this stage.
        total: bytes to process in this stage; None if it counts rows, whose total is unknown.
        error: why it failed.
        seconds: how long it has been running, or ran.
    """

    state: State = "running"
    stage: str = ""
    done: int = 0
    total: int | None = None
    error: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Job:
    """A run in a thread.

    Attributes:
        id: the id in the address of its page.
        kind: `run`, `sample`, `group` or `stitch`.
        name: the name of the courier or group.
        what: a description of its task.
        result: the return value of the work, once it has succeeded.
        error: the exception that the work raised, if any.
    """

    id: str
    kind: str
    name: str
    what: str
    result: Any = None
    error: CourierError | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    _began: float = field(default_factory=time.monotonic)
    _progress: Progress = Progress()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def progress(self) -> Progress:
        """Its current progress."""
        with self._lock:
            if self._progress.state != "running":
                return self._progress
            return replace(self._progress, seconds=time.monotonic() - self._began)

    def stage(self, what: str, total_bytes: int | None = None) -> None:
        """Begins a stage; see `Bar`."""
        self.heed()
        with self._lock:
            self._progress = replace(self._progress, stage=what, done=0, total=total_bytes)

    def advance(self, amount: int) -> None:
        """Adds bytes or rows; see `Bar`."""
        self.heed()
        with self._lock:
            self._progress = replace(self._progress, done=self._progress.done + amount)

    def end(self, state: State, error: str = "") -> None:
        """Records the outcome."""
        with self._lock:
            seconds = time.monotonic() - self._began
            self._progress = replace(self._progress, state=state, error=error, seconds=seconds)

    def heed(self) -> None:
        """Raises InterruptedRunError if the job was asked to stop."""
        if self.stop.is_set():
            raise InterruptedRunError("The run was stopped from the console; what was loaded stays loaded.")


Work = Callable[[Job], Any]
"""What a job does: reports progress to its Job, and returns a result or raises CourierError."""


class Jobs:
    """The jobs of this process, newest first."""

    def __init__(self, complain: Callable[[str], None] = lambda _sentence: None) -> None:
        self._jobs: dict[str, Job] = {}
        self._threads: list[threading.Thread] = []
        self._complain = complain
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Job]:
        with self._lock:
            return iter(list(reversed(self._jobs.values())))

    def get(self, job_id: str) -> Job | None:
        """A job by its id."""
        with self._lock:
            return self._jobs.get(job_id)

    def start(self, kind: str, name: str, what: str, work: Work) -> Job:
        """Starts work in a thread; returns the running job instead if it is the same, such as after a double click."""
        job = Job(secrets.token_hex(6), kind, name, what)
        thread = threading.Thread(target=self._run, args=(job, work), name=f"{kind} {name}", daemon=True)
        with self._lock:
            for each in self._jobs.values():
                same = (each.kind, each.name, each.what) == (kind, name, what) and not each.stop.is_set()
                if same and each.progress.state == "running":
                    return each
            self._jobs[job.id] = job
            ended = [each.id for each in self._jobs.values() if each.progress.state != "running"]
            for job_id in ended[:-KEPT]:
                del self._jobs[job_id]
            self._threads = [*(each for each in self._threads if each.is_alive()), thread]
        thread.start()
        return job

    def stop(self) -> None:
        """Asks all jobs to stop, and waits for them."""
        for job in self:
            job.stop.set()
        self.join()

    def join(self) -> None:
        """Waits for all jobs."""
        with self._lock:
            threads = self._threads
        for thread in threads:
            thread.join()

    def _run(self, job: Job, work: Work) -> None:
        try:
            job.result = work(job)
        except CourierError as error:
            job.error = error
            job.end("failed", str(error))
        except KeyboardInterrupt:
            job.end("failed", "The run was interrupted; what was loaded stays loaded.")
        except BaseException as error:
            job.end("failed", internal_error(error))
            self._complain(f"The {job.kind} of {job.name} failed. {internal_error(error)}")
            if not isinstance(error, Exception):
                raise
        else:
            job.end("done")
