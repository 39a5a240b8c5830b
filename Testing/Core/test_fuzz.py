"""A short run of every fuzzer; `make fuzz MINUTES=60` is the long one."""

import time

import pytest
from Fuzz.fuzzers import FUZZERS
from Fuzz.running import Tally, outcome_of, run_batch

SECONDS = 2.0


@pytest.mark.parametrize("name", FUZZERS)
def test_bad_inputs_are_refused_in_a_sentence_or_read(name):
    until, outcomes, seed = time.monotonic() + SECONDS, set(), 0
    while time.monotonic() < until:
        outcome = outcome_of(name, seed)
        assert outcome in ("done", "refused"), f"python -m Fuzz --case {name} {seed}\n{outcome}"
        outcomes.add(outcome)
        seed += 1
    assert "refused" in outcomes


@pytest.mark.parametrize(("crash", "words"), [("os.abort()", "ended with"), ("time.sleep(99)", "no end within")])
def test_a_crash_and_a_hang_are_finds(tmp_path, monkeypatch, crash, words):
    """In a fuzzer that the other process finds in place of the real ones."""
    (tmp_path / "Fuzz").mkdir()
    (tmp_path / "Fuzz" / "__init__.py").touch()
    (tmp_path / "Fuzz" / "__main__.py").write_text(
        "import os, time\nfor line in '[7, null]', '[7, \"refused\"]', '[8, null]': print(line, flush=True)\n" + crash
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tally = Tally()
    run_batch("prompts", 7, 5, tally, timeout_s=4)
    assert tally.outcomes == {"refused": 1, "find": 1}
    assert tally.finds[0][0] == 8
    assert words in tally.finds[0][1]
