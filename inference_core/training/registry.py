"""Which models can be trained, and by which recipe. Importing this file loads no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from inference_core.errors import OptionError


@dataclass(frozen=True)
class RecipeEntry:
    """A recipe's "package.module:function", its files' suffix, and what the function is told beside the configuration.

    `start` says what a paper begins with, where it does not begin from nothing.
    """

    builder: str
    suffix: str = ".pth"
    start: str = ""
    options: dict[str, Any] = field(default_factory=dict)


_PACKAGE = "inference_core.training.recipes"


RECIPES = {
    "sam3d_lite": RecipeEntry(f"{_PACKAGE}.sam3d_lite:build", suffix=".safetensors"),
    **{
        name: RecipeEntry(
            f"{_PACKAGE}.ma_sam:build", start="SAM", options={"rule": name, "boxes": name == "ma_sam_box"}
        )
        for name in ("ma_sam", "ma_sam_prostate", "ma_sam_box")
    },
    "sam_med3d": RecipeEntry(f"{_PACKAGE}.sam_med3d:build"),
    **{
        f"sam3d_adapter{suffix}": RecipeEntry(
            f"{_PACKAGE}.sam3d_adapter:build",
            suffix=".pth.tar",
            start="SAM",
            options={"rule": f"sam3d_adapter{suffix}"},
        )
        for suffix in ("", "_pancreas", "_liver", "_colon")
    },
    **{
        f"medical_sam_adapter{suffix}": RecipeEntry(
            f"{_PACKAGE}.medical_sam_adapter:build", start="SAM", options={"rule": f"medical_sam_adapter{suffix}"}
        )
        for suffix in ("", "_normalized", "_3d", "_3d_normalized")
    },
    **{
        name: RecipeEntry(f"{_PACKAGE}.sam:build", start="SAM", options={"rule": name})
        for name in ("sam", "sam_vit_l", "sam_vit_h")
    },
}


def recipe_entry(model: str) -> RecipeEntry:
    """The recipe of a model.

    Raises:
        OptionError: it has none.
    """
    if model not in RECIPES:
        raise OptionError(f"There is no recipe to train '{model}'; choose one of {', '.join(RECIPES)}.")
    return RECIPES[model]
