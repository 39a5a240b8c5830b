"""The table of lesions in files: JSON with everything, or CSV, the change since the earlier visit in one of its own."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from inference_core.measures.change import Change
    from inference_core.measures.lesion_table import LesionTable


def writeTable(path: Path, table: "LesionTable", change: "Change | None") -> None:
    """Write a table, whole or not at all; of CSV the change goes beside it, as "lesions_change.csv".

    Raises:
        OutputError: a file cannot be written, or the second one is there already.
    """
    from inference_core.errors import OutputError
    from inference_core.io.atomic import replacing
    from inference_core.measures.change_table import change_csv

    if path.suffix.lower() == ".json":
        content = table.as_json() | ({} if change is None else {"change": change.as_json()})
        texts = {path: json.dumps(content, indent=1) + "\n"}
    else:
        texts = {path: table.as_csv()}
        beside = path.with_name(f"{path.stem}_change{path.suffix}")
        if change is not None:
            # Of the name that was chosen, the file dialog has asked.
            if beside.exists():
                raise OutputError(_("'{name}' is there already; choose another name.").format(name=beside.name))
            texts[beside] = change_csv(change)
    with ExitStack() as stack:
        for place, text in texts.items():
            stack.enter_context(replacing(place)).write_text(text, encoding="utf-8")
