"""What is known of Medical SAM Adapter's models before they are loaded."""

from __future__ import annotations

from inference_core.models.spec import (
    CLICKS,
    Checkpoint,
    ClickFrame,
    IntensityRule,
    Layout,
    ModelSpec,
    Padding,
    PromptKind,
    WindowSpec,
)


def _medical_sam_adapter(
    suffix: str, title: str, *, slices: int, rule: IntensityRule, clicks: ClickFrame, notes: str, by_slice: bool = False
) -> ModelSpec:
    name = f"medical_sam_adapter{suffix}"
    deep = slices > 1
    return ModelSpec(
        name=name,
        title=title,
        builder="inference_core.models.medical_sam_adapter.model:build",
        # The size of the input is read off the file where its tensors or its name tell it.
        window=WindowSpec(
            (256, 256, slices) if deep else (1024, 1024, 1), (), Padding.EDGE, layout=Layout.SLICES, overlapping=False
        ),
        intensity=rule,
        prompt_kinds=CLICKS | ({PromptKind.BOX} if deep else {PromptKind.BOX, PromptKind.MASK}),
        checkpoint=Checkpoint(
            url=None, filename=f"{name}.pth", page="https://huggingface.co/KidsWithTokens/Medical-Adapter-Zoo"
        ),
        license="the authors' code is GPL-3.0 and none of it is used here; ask them about weights",
        paper="Wu et al., Medical SAM Adapter, Medical Image Analysis 102, 2025, arXiv:2304.12620",
        notes=f"{notes} Only single foreground clicks were trained.",
        base="sam",
        clicks=clicks,
        reads_text=True,
        clicks_by_slice=by_slice,
    )


SPECS = (
    _medical_sam_adapter(
        "",
        "Medical SAM Adapter",
        slices=1,
        rule=IntensityRule.EIGHT_BIT_UNIT,
        clicks=ClickFrame.ROW_COLUMN,
        notes="For 2D training before April 2025: gray values 0..1, clicks as row and column.",
    ),
    _medical_sam_adapter(
        "_normalized",
        "Medical SAM Adapter, SAM's input",
        slices=1,
        rule=IntensityRule.EIGHT_BIT_NORMALIZED,
        clicks=ClickFrame.X_Y,
        notes="For 2D training since April 2025: gray values as for SAM, clicks as column and row.",
    ),
    _medical_sam_adapter(
        "_3d",
        "Medical SAM Adapter 3D",
        slices=8,
        rule=IntensityRule.ABDOMEN_UNIT,
        clicks=ClickFrame.ROW_COLUMN_UNSCALED,
        notes="For training through depth (`-thd`) on abdominal CT before April 2025, in chunks of eight slices.",
    ),
    _medical_sam_adapter(
        "_3d_normalized",
        "Medical SAM Adapter 3D, SAM's input",
        slices=8,
        rule=IntensityRule.ABDOMEN_NORMALIZED,
        clicks=ClickFrame.ROW_COLUMN_UNSCALED,
        by_slice=True,
        notes="For training through depth (`-thd`) on abdominal CT since April 2025, in chunks of eight slices.",
    ),
)
