"""Whether the computer runs on its battery, as Linux tells it; where nothing is told it is plugged in."""

import pytest

from SAM3DSegmentLib.Setup import Power


@pytest.fixture
def supplies(monkeypatch, tmp_path):
    """supplies(name={file: word}): the folders in which Linux describes what powers a computer."""
    monkeypatch.setattr(Power, "_SUPPLIES", tmp_path)
    monkeypatch.setattr(Power.platform, "system", lambda: "Linux")

    def write(**folders):
        for name, words in folders.items():
            (tmp_path / name).mkdir()
            for file, word in words.items():
                (tmp_path / name / file).write_text(word + "\n")

    return write


EMPTYING = {"type": "Battery", "status": "Discharging"}
CASES = [
    pytest.param({}, False, id="a desktop"),
    pytest.param(
        {"AC": {"type": "Mains", "online": "1"}, "BAT0": {"type": "Battery", "status": "Full"}}, False, id="AC"
    ),
    pytest.param({"AC": {"type": "Mains", "online": "0"}, "BAT0": EMPTYING}, True, id="unplugged"),
    pytest.param({"BAT0": EMPTYING}, True, id="a battery alone"),
    pytest.param({"mouse": {**EMPTYING, "scope": "Device"}}, False, id="a wireless mouse"),
]


@pytest.mark.parametrize(("folders", "expected"), CASES)
def test_linux_tells_what_powers_it(supplies, folders, expected):
    supplies(**folders)
    assert Power.runsOnBattery() is expected


@pytest.mark.parametrize("system", ["Windows", "Darwin", "Plan 9"])
def test_a_system_that_does_not_tell_is_plugged_in(monkeypatch, system):
    monkeypatch.setattr(Power.platform, "system", lambda: system)
    assert Power.runsOnBattery() is False


def test_the_system_is_asked_now_and_then(monkeypatch):
    asked = []
    monkeypatch.setattr(Power, "runsOnBattery", lambda: not asked.append(True))
    power = Power.Power()
    assert power.onBattery
    assert power.onBattery
    assert len(asked) == 1
