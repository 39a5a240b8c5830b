"""What is known of 3DSAM-adapter's models before they are loaded."""

from __future__ import annotations

from inference_core.models.spec import (
    Checkpoint,
    HounsfieldScale,
    IntensityRule,
    ModelSpec,
    Padding,
    PromptKind,
    WindowSpec,
)


def _tumor(suffix: str, tumor: str, *, data: str, scale: HounsfieldScale) -> ModelSpec:
    """3DSAM-adapter as trained on one of the authors' four data sets (specification 6, the code's values)."""
    return ModelSpec(
        name=f"sam3d_adapter{suffix}",
        title=f"3DSAM-adapter, {tumor}",
        builder="inference_core.models.sam3d_adapter.model:build",
        window=WindowSpec(
            (128, 128, 128), (1.0,), Padding.MEAN, original="inference_core.models.sam3d_adapter.original:predict"
        ),
        intensity=IntensityRule.HOUNSFIELD,
        prompt_kinds=frozenset({PromptKind.POSITIVE_CLICK}),
        checkpoint=Checkpoint(
            url=None, filename=f"3dsam_adapter_{data}.pth.tar", page="https://github.com/med-air/3DSAM-adapter"
        ),
        license="none is stated by the authors; none of their code is used here, ask them about weights",
        paper="Gong et al., 3DSAM-adapter, arXiv:2306.13465",
        classes=(tumor,),
        notes="CT in Hounsfield units only. The network reads foreground clicks; a background click corrects the mask "
        "around itself, and a box says where to look and clicks at its center.",
        session_kinds=frozenset({PromptKind.NEGATIVE_CLICK, PromptKind.BOX}),
        hounsfield=scale,
    )


SPECS = (
    _tumor("", "kidney tumor", data="kits", scale=HounsfieldScale(-54, 247, mean=59.53867, deviation=55.457336)),
    _tumor(
        "_pancreas",
        "pancreas tumor",
        data="pancreas",
        scale=HounsfieldScale(-39, 204, mean=68.45214, deviation=63.422806),
    ),
    _tumor("_liver", "liver tumor", data="lits", scale=HounsfieldScale(-48, 163, mean=60.057533, deviation=40.198017)),
    _tumor(
        "_colon", "colon cancer", data="colon", scale=HounsfieldScale(-57, 175, mean=65.175035, deviation=32.651197)
    ),
)
