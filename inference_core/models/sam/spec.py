"""What is known of SAM's three sizes before they are loaded."""

from __future__ import annotations

from inference_core.models.spec import (
    CLICKS,
    Checkpoint,
    IntensityRule,
    Layout,
    ModelSpec,
    Padding,
    PromptKind,
    WindowSpec,
)


def _sam(name: str, title: str, *, filename: str, size_bytes: int, sha256: str) -> ModelSpec:
    return ModelSpec(
        name=name,
        title=title,
        builder="inference_core.models.sam.model:build",
        window=WindowSpec((1024, 1024, 1), (), Padding.ZERO, layout=Layout.SLICES),
        intensity=IntensityRule.EIGHT_BIT,
        prompt_kinds=CLICKS | {PromptKind.BOX, PromptKind.MASK},
        checkpoint=Checkpoint(
            url=f"https://dl.fbaipublicfiles.com/segment_anything/{filename}",
            filename=filename,
            size_bytes=size_bytes,
            sha256=sha256,
        ),
        license="Apache-2.0",
        paper="Kirillov et al., Segment Anything, ICCV 2023, arXiv:2304.02643",
        notes="A model of photographs: it segments each slice by itself, those with a click and those a box crosses.",
    )


SPECS = (
    _sam(
        "sam",
        "SAM ViT-B",
        filename="sam_vit_b_01ec64.pth",
        size_bytes=375_042_383,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    _sam(
        "sam_vit_l",
        "SAM ViT-L",
        filename="sam_vit_l_0b3195.pth",
        size_bytes=1_249_524_607,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    _sam(
        "sam_vit_h",
        "SAM ViT-H",
        filename="sam_vit_h_4b8939.pth",
        size_bytes=2_564_550_879,
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
)
