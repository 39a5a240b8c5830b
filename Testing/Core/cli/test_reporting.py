import json
import math

from hypothesis import given
from hypothesis import strategies as st

from inference_core.cli.reporting import write_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def refuse(name):
    raise ValueError(f"{name} is not JSON")


def finite(content):
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


@given(VALUES)
def test_json_files_hold_json_alone(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "report.json"
    write_json(path, content)
    assert json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse) == finite(content)
