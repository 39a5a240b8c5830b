"""The worker runs the newest job alone, in one thread, and speaks on the thread that polls it."""

import gc
import threading

import pytest

from inference_core.errors import Cancelled
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
