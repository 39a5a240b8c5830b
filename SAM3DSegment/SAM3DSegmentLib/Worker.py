"""One thread for all torch work, so that the viewer never freezes and the GPU's plan cache stays warm.

cuDNN keeps its plans per thread: a fresh thread for each click costs ten times the click. Qt and MRML belong to the
main thread; whatever a job has to say therefore waits in a queue until the main thread asks for it with `poll`.
"""

import atexit
import queue
import sys
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from SAM3DSegmentLib import FreedMemory, GarbageGuard

Notify = Callable[[str, float], None]


# How long an application that quits waits for the computation to stop.
CLOSE_SECONDS = 3.0
# After so long without a job, the memory that jobs have freed goes back to the system.
IDLE_SECONDS = 10.0


@dataclass(frozen=True)
class Job:
    """Work for the thread, and what to call on the main thread about it.

    run(notify) runs in the thread; notify(stage, fraction) raises `Cancelled` once the job is to stop. A job that is
    `ahead` of any question gives way to all others but the one of its own subject, which goes on where it was. It makes
    no progress known.
    """

    run: Callable[[Notify], Any]
    onDone: Callable[[Any], None]
    onError: Callable[[Exception], None]
    onProgress: Callable[[str, float], None]
    ahead: bool = False
    subject: Hashable = None


class Worker:
    """Runs the newest job handed in; a job that is still waiting when a newer one comes is dropped.

    Jobs ahead of any question run where there is no other. onIdle() is called in the thread, once each time it has been
    idle for `IDLE_SECONDS`.
    """

    def __init__(self, onIdle: Callable[[], None] = FreedMemory.giveBack) -> None:
        self._onIdle = onIdle
        self._changed = threading.Condition()
        self._waiting: Job | None = None
        self._waitingAhead: Job | None = None
        self._running: Job | None = None
        self._cancelled = False
        self._closed = False
        self._told: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a job that was asked for runs or waits, or one has something to say that was not asked for yet."""
        with self._changed:
            asked = self._running is not None and not self._running.ahead
            return asked or self._waiting is not None or not self._told.empty()

    @property
    def isAhead(self) -> bool:
        """Whether a job runs or waits that nobody asked for yet."""
        with self._changed:
            return self._waitingAhead is not None or (self._running is not None and self._running.ahead)

    def submit(self, job: Job) -> None:
        """Run a job after the one that runs now, instead of any that waits; one that runs ahead is stopped."""
        with self._changed:
            if job.ahead:
                self._waitingAhead = job
            else:
                self._waiting, self._waitingAhead = job, None
            running = self._running
            if running is not None and running.ahead and (running.subject is None or running.subject != job.subject):
                self._cancelled = True
            if self._thread is None and not self._closed:
                # A daemon, so that a computation that cannot be stopped does not keep an application from quitting.
                self._thread = threading.Thread(target=self._loop, name="SAM3DSegment", daemon=True)
                self._thread.start()
                # Python ends with its threads inside torch only at the price of a crash.
                atexit.register(_closeIfThere, weakref.ref(self))
            self._changed.notify()
        GarbageGuard.hold(self)

    def cancel(self) -> None:
        """Drop the waiting job; the running one ends, with `Cancelled`, the next time it reports progress."""
        with self._changed:
            self._waiting = self._waitingAhead = None
            self._cancelled = self._running is not None

    def cancelAhead(self) -> None:
        """Stop what nobody asked for."""
        with self._changed:
            self._waitingAhead = None
            if self._running is not None and self._running.ahead:
                self._cancelled = True

    def poll(self, waitSeconds: float = 0.0) -> None:
        """Make all calls that jobs have left for this thread; wait a little for the first of them.

        The wait lets go of Python's lock, without which the thread would not get on while Qt's loop holds it.
        """
        if self._told.empty() and waitSeconds > 0:
            self._news.wait(waitSeconds)
        GarbageGuard.collect()
        self._news.clear()
        while True:
            try:
                call = self._told.get_nowait()
            except queue.Empty:
                break
            call()
        if not (self.busy or self.isAhead):
            GarbageGuard.release(self)

    def leave(self, call: Callable[[], None]) -> None:
        """Have the main thread make a call at its next `poll`; for a job that runs, before it is done."""
        self._tell(call)

    def close(self) -> None:
        """Stop the thread and wait for it, at most `CLOSE_SECONDS`; forget what was left to say.

        A job that computes is stopped between two layers of its network, not only when it reports progress.
        """
        with self._changed:
            self._closed, self._waiting, self._waitingAhead, self._cancelled = True, None, None, True
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            with _interrupted(thread):
                thread.join(CLOSE_SECONDS)
        self._told = queue.SimpleQueue()
        GarbageGuard.release(self)

    def _loop(self) -> None:
        while (job := self._next()) is not None:
            self._do(job)

    def _next(self) -> Job | None:
        """The next job, waited for; None when the worker is closed."""
        with self._changed:
            self._running = None
            hasWork = self._changed.wait_for(self._hasWork, IDLE_SECONDS)
        if not hasWork:
            # Without the lock: a job may come meanwhile.
            self._onIdle()
        with self._changed:
            self._changed.wait_for(self._hasWork)
            if self._closed:
                return None
            if self._waiting is not None:
                self._running, self._waiting = self._waiting, None
            else:
                self._running, self._waitingAhead = self._waitingAhead, None
            self._cancelled = False
            return self._running

    def _hasWork(self) -> bool:
        return self._waiting is not None or self._waitingAhead is not None or self._closed

    def _do(self, job: Job) -> None:
        def notify(stage: str, fraction: float) -> None:
            if self._cancelled:
                from inference_core.errors import Cancelled

                raise Cancelled("The work was stopped.")
            if not job.ahead:
                self._tell(lambda: job.onProgress(stage, fraction))

        try:
            result = job.run(notify)
        except Exception as error:  # noqa: BLE001 - whatever it is, the main thread must hear of it
            failure = error
            self._tell(lambda: job.onError(failure))
        else:
            self._tell(lambda: job.onDone(result))

    def _tell(self, call: Callable[[], None]) -> None:
        if not self._closed:
            self._told.put(call)
            self._news.set()


def _closeIfThere(worker: "weakref.ref[Worker]") -> None:
    alive = worker()
    if alive is not None:
        alive.close()


@contextmanager
def _interrupted(thread: threading.Thread) -> Iterator[None]:
    """Stop what torch does in a thread before its next layer; other threads are let alone."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return

    def stop(_layer: Any, _inputs: Any) -> None:
        if threading.get_ident() == thread.ident:
            from inference_core.errors import Cancelled

            raise Cancelled("The work was stopped.")

    hook = torch.nn.modules.module.register_module_forward_pre_hook(stop)
    try:
        yield
    finally:
        hook.remove()
