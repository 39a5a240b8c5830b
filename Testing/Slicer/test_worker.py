"""The worker runs the newest job alone, in one thread, and speaks on the thread that polls it."""

import gc
import os
import threading
from pathlib import Path

import pytest

from inference_core.errors import Cancelled
from SAM3DSegmentLib import FreedMemory
from SAM3DSegmentLib import Worker as workerModule
from SAM3DSegmentLib.Worker import Job, Worker


class Diary:
    """Jobs whose course is written down."""

    def __init__(self, worker):
        self.worker, self.done, self.errors, self.progress, self.threads = worker, [], [], [], []

    def job(self, name, work=lambda notify: None):
        def run(notify):
            self.threads.append(threading.get_ident())
            work(notify)
            return name

        return Job(run, self.done.append, self.errors.append, lambda *told: self.progress.append(told))

    def finish(self):
        while self.worker.busy:
            self.worker.poll(0.05)


@pytest.fixture
def a_worker():
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture
def a_diary(a_worker):
    return Diary(a_worker)


@pytest.fixture
def a_gate():
    """A job that waits: (work, entered, open)."""
    entered, opened = threading.Event(), threading.Event()

    def work(notify):
        entered.set()
        assert opened.wait(10)

    return work, entered, opened


def test_a_job_runs_in_another_thread_and_is_heard_of_in_this_one(a_worker, a_diary):
    heard = []
    job = a_diary.job("first")
    a_worker.submit(Job(job.run, lambda _: heard.append(threading.get_ident()), job.onError, job.onProgress))
    a_diary.finish()
    assert heard == [threading.get_ident()]
    assert a_diary.threads[0] != threading.get_ident()


def test_all_jobs_run_in_the_same_thread(a_worker, a_diary):
    for name in "abc":
        a_worker.submit(a_diary.job(name))
        a_diary.finish()
    assert a_diary.done == ["a", "b", "c"]
    assert len(set(a_diary.threads)) == 1


def test_of_the_jobs_that_wait_only_the_newest_runs(a_worker, a_diary, a_gate):
    work, entered, opened = a_gate
    a_worker.submit(a_diary.job("running", work))
    assert entered.wait(10)
    for name in ("second", "third", "newest"):
        a_worker.submit(a_diary.job(name))
    opened.set()
    a_diary.finish()
    assert a_diary.done == ["running", "newest"]


def test_nothing_is_said_before_it_is_asked_for(a_worker, a_diary):
    a_worker.submit(a_diary.job("quiet", lambda notify: notify("encoding", 0.5)))
    while not a_diary.threads or a_worker._running is not None:
        threading.Event().wait(0.01)
    assert (a_diary.done, a_diary.progress) == ([], [])
    assert a_worker.busy
    a_worker.poll()
    assert (a_diary.done, a_diary.progress) == (["quiet"], [("encoding", 0.5)])


def test_a_cancelled_job_ends_at_its_next_word_and_the_waiting_one_never_starts(a_worker, a_diary, a_gate):
    work, entered, opened = a_gate

    def talkative(notify):
        work(notify)
        notify("decoding", 0.0)

    a_worker.submit(a_diary.job("running", talkative))
    assert entered.wait(10)
    a_worker.submit(a_diary.job("waiting"))
    a_worker.cancel()
    opened.set()
    a_diary.finish()
    assert a_diary.done == []
    assert [type(error) for error in a_diary.errors] == [Cancelled]


def test_a_job_after_a_cancelled_one_is_not_cancelled(a_worker, a_diary):
    a_worker.cancel()
    a_worker.submit(a_diary.job("later", lambda notify: notify("encoding", 0.0)))
    a_diary.finish()
    assert a_diary.done == ["later"]


def test_a_failing_job_leaves_the_thread_alive(a_worker, a_diary):
    def fail(notify):
        raise ZeroDivisionError

    a_worker.submit(a_diary.job("broken", fail))
    a_diary.finish()
    a_worker.submit(a_diary.job("whole"))
    a_diary.finish()
    assert [type(error) for error in a_diary.errors] == [ZeroDivisionError]
    assert a_diary.done == ["whole"]


def test_a_closed_worker_says_nothing_more(a_worker, a_diary, a_gate):
    work, entered, opened = a_gate
    a_worker.submit(a_diary.job("running", work))
    assert entered.wait(10)
    a_worker.close()
    opened.set()
    a_worker._thread.join(10)
    a_worker.poll()
    assert a_diary.done == []


def test_closing_waits_for_the_thread(a_worker, a_diary, a_gate):
    work, entered, opened = a_gate
    a_worker.submit(a_diary.job("running", work))
    assert entered.wait(10)
    threading.Timer(0.2, opened.set).start()
    a_worker.close()
    assert not a_worker._thread.is_alive()


def test_garbage_is_collected_by_the_polling_thread_alone(a_worker, a_diary):
    """What is freed in a thread that computes may be a widget."""
    freed = []

    class Widget:
        def __init__(self):
            self.me = self

        def __del__(self):
            freed.append(threading.get_ident())

    def work(notify):
        assert not gc.isenabled()
        for _ in range(2000):
            [[] for _ in range(100)]

    Widget()
    a_worker.submit(a_diary.job("allocating", work))
    Widget()
    a_diary.finish()
    assert a_diary.errors == []
    assert gc.isenabled()
    gc.collect()
    assert set(freed) == {threading.get_ident()}
    assert len(freed) == 2


def ahead(diary, name, work=lambda notify: None, subject=None):
    job = diary.job(name, work)
    return Job(job.run, job.onDone, job.onError, job.onProgress, ahead=True, subject=subject)


def until_stopped(entered):
    def work(notify):
        entered.set()
        for _ in range(1000):
            threading.Event().wait(0.01)
            notify("ahead", 0.0)

    return work


def test_what_runs_ahead_is_no_business_of_the_users(a_worker, a_diary, a_gate):
    work, entered, opened = a_gate
    a_worker.submit(ahead(a_diary, "unasked", lambda notify: (notify("ahead", 0.5), work(notify))))
    assert entered.wait(10)
    assert not a_worker.busy
    assert a_worker.isAhead
    opened.set()
    while a_worker.isAhead:
        threading.Event().wait(0.01)
    a_worker.poll()
    assert a_diary.progress == []


def test_a_question_stops_what_runs_ahead(a_worker, a_diary):
    entered = threading.Event()
    a_worker.submit(ahead(a_diary, "unasked", until_stopped(entered)))
    assert entered.wait(10)
    a_worker.submit(a_diary.job("asked"))
    a_diary.finish()
    assert a_diary.done == ["asked"]
    assert [type(error) for error in a_diary.errors] == [Cancelled]


def test_a_question_of_the_same_subject_lets_it_go_on(a_worker, a_diary, a_gate):
    work, entered, opened = a_gate

    def then_say(notify):
        work(notify)
        notify("ahead", 1.0)

    a_worker.submit(ahead(a_diary, "unasked", then_say, subject="here"))
    assert entered.wait(10)
    job = a_diary.job("asked")
    a_worker.submit(Job(job.run, job.onDone, job.onError, job.onProgress, subject="here"))
    opened.set()
    a_diary.finish()
    assert a_diary.done == ["unasked", "asked"]


def test_what_waits_ahead_never_goes_before_a_question(a_worker, a_diary, a_gate):
    work, entered, opened = a_gate
    a_worker.submit(a_diary.job("running", work))
    assert entered.wait(10)
    a_worker.submit(ahead(a_diary, "unasked"))
    a_worker.submit(a_diary.job("asked"))
    opened.set()
    a_diary.finish()
    assert a_diary.done == ["running", "asked"]


def test_the_cursor_going_on_stops_it_and_no_question(a_worker, a_diary, a_gate):
    entered = threading.Event()
    a_worker.submit(ahead(a_diary, "unasked", until_stopped(entered)))
    assert entered.wait(10)
    a_worker.cancelAhead()
    while a_worker.isAhead:
        threading.Event().wait(0.01)
    work, entered, opened = a_gate
    a_worker.submit(a_diary.job("asked", work))
    assert entered.wait(10)
    a_worker.cancelAhead()
    opened.set()
    a_diary.finish()
    assert a_diary.done == ["asked"]


def test_an_idle_worker_gives_memory_back_once(a_diary, monkeypatch):
    monkeypatch.setattr(workerModule, "IDLE_SECONDS", 0.1)
    idle, threads = [], []
    worker = Worker(onIdle=lambda: (idle.append(True), threads.append(threading.get_ident())))
    for name in "ab":
        worker.submit(a_diary.job(name))
        threading.Event().wait(0.6)
    worker.poll()
    worker.close()
    assert len(idle) == 2
    assert threading.get_ident() not in threads


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells what is resident")
def test_freed_memory_goes_back_to_the_system():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    # Blocks too small to be mapped each by itself, of which the last one keeps the heap from shrinking.
    blocks = [bytearray(60_000) for _ in range(3000)]
    last = bytearray(60_000)
    del blocks
    before = resident()
    FreedMemory.giveBack()
    assert before - resident() > 100e6
    assert last is not None
