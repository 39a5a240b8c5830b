"""What the tests promise of themselves."""

import re
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
# A part that is replaced by a string of its name is easily the very part the test is there to test.
BY_NAME = re.compile(r"""(setattr|patch)\(\s*f?["'](inference_core|SAM3DSegment)""")


def test_no_test_replaces_a_part_by_a_string_of_its_name():
    found = [
        f"{path.relative_to(TESTING)}:{number}"
        for path in sorted(TESTING.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if BY_NAME.search(line)
    ]
    assert found == []
