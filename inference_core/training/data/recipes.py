"""The data sets of the papers, as their publishers lay them out; windows, spacings and splits as the papers have them.

Sources: 3DSAM-adapter (Gong et al. 2024), MA-SAM (Chen et al. 2024; splits from its preprocessing/dataset_split.md),
Medical SAM Adapter (Wu et al. 2025), SAM-Med3D (Wang et al. 2025), and each publisher's own page.
"""

from __future__ import annotations

from inference_core.errors import OptionError
from inference_core.training.data.cases import TEST, TRAIN, VALIDATION
from inference_core.training.data.msd_pancreas_folds import PANCREAS_FOLDS
from inference_core.training.data.recipe import Counts, Kind, Listed, Paper, Recipe, Source, Window

ADAPTER_3D, MA_SAM, MEDICAL_ADAPTER, MED_3D = "sam3d_adapter", "ma_sam", "medical_sam_adapter", "sam_med3d"
_ONE_MM = (1.0, 1.0, 1.0)
_BTCV_MSA = Window(-175, 250)
_BTCV_MA = Window(-200, 250)
_MSA_SPACING = (1.5, 1.5, 2.0)
_NO_LIST = "the paper's list of cases is not published: as many are drawn by a seed"
_NO_SPLIT = "the paper names no split: a fifth of the patients are drawn by a seed"
_FIFTH = Counts(8, 2)

_DECATHLON = (Source(("imagesTr/{case}.nii.gz",), "labelsTr/{case}.nii.gz"),)
_BTCV_CLASSES = {
    1: "spleen", 2: "right kidney", 3: "left kidney", 4: "gallbladder", 5: "esophagus", 6: "liver", 7: "stomach",
    8: "aorta", 9: "inferior vena cava", 10: "portal and splenic veins", 11: "pancreas", 12: "right adrenal gland",
    13: "left adrenal gland",
}  # fmt: skip
_AMOS_CLASSES = {
    1: "spleen", 2: "right kidney", 3: "left kidney", 4: "gallbladder", 5: "esophagus", 6: "liver", 7: "stomach",
    8: "aorta", 9: "inferior vena cava", 10: "pancreas", 11: "right adrenal gland", 12: "left adrenal gland",
    13: "duodenum", 14: "bladder", 15: "prostate or uterus",
}  # fmt: skip
_AMOS = (
    Source(("imagesTr/{case}.nii.gz",), "labelsTr/{case}.nii.gz", side=TRAIN),
    Source(("imagesVa/{case}.nii.gz",), "labelsVa/{case}.nii.gz", side=VALIDATION),
    Source(("imagesTs/{case}.nii.gz",), "labelsTs/{case}.nii.gz", side=TEST),
)
_BTCV_TEST = tuple(f"img{number:04d}" for number in range(35, 41))
# Sites in the letters of MA-SAM's list, by the names of the publisher's folders; numbers as the list has them.
_PROSTATE_TEST = {
    "RUNMC": (3, 8, 12, 15, 18, 26), "BMC": (3, 8, 12, 15, 18, 26), "I2CVB": (3, 8, 13, 15), "UCL": (1, 32, 34),
    "BIDMC": (0, 4, 9), "HK": (38, 41, 46),
}  # fmt: skip
_PROSTATE_NAMES = tuple(f"{site}_Case{n:02d}" for site, numbers in _PROSTATE_TEST.items() for n in numbers)
_ENDOVIS = {
    (0, 255, 0): "instrument shaft", (0, 255, 255): "instrument clasper", (125, 255, 12): "instrument wrist",
    (255, 55, 0): "kidney parenchyma", (24, 55, 125): "covered kidney", (187, 155, 25): "thread",
    (0, 255, 125): "clamps", (255, 255, 125): "suturing needle", (123, 15, 175): "suction instrument",
    (124, 155, 5): "small intestine", (12, 255, 141): "ultrasound probe",
}  # fmt: skip
_RGB = ("R", "G", "B")


def _amos(name: str, channel: str, numbers: tuple[int, int], papers: dict[str, Paper]) -> Recipe:
    title = f"AMOS22, {channel}"
    return Recipe(name, title, _AMOS, (channel,), _AMOS_CLASSES, papers, numbers=numbers)


_ALL = (
    Recipe(
        "kits21", "KiTS21, kidney tumors in CT",
        (Source(("{case}/imaging.nii.gz",), "{case}/aggregated_MAJ_seg.nii.gz"),),
        ("CT",), {1: "kidney", 2: "tumor", 3: "cyst"},
        {ADAPTER_3D: Paper(
            Window(-54, 247, 59.53867, 55.457336), _ONE_MM, Counts(209, 30, 61), ("tumor",), said=_NO_LIST
        )},
    ),
    Recipe(
        "msd_pancreas", "Medical Segmentation Decathlon, Task07_Pancreas",
        (  # as the Decathlon lays it out, and as MA-SAM's list of cases does
            *_DECATHLON,
            Source(("{case:pancreas_[0-9]+}/image.nii.gz",), "{case}/segmentation.nii.gz"),
        ),
        ("CT",), {1: "pancreas", 2: "tumor"},
        {
            ADAPTER_3D: Paper(
                Window(-39, 204, 68.45214, 63.422806), _ONE_MM, Listed(PANCREAS_FOLDS), ("tumor",),
                said="the folds are MA-SAM's, whose counts are the paper's",
            ),
            MA_SAM: Paper(
                Window(-50, 200, 30.52402855024227, 64.07289127027198), None, Listed(PANCREAS_FOLDS), ("tumor",)
            ),
        },
    ),
    Recipe(
        "lits17", "LiTS17, liver tumors in CT",
        (Source(("volume-{case:[0-9]+}.nii*",), "segmentation-{case}.nii*", name="lits_{case}"),),
        ("CT",), {1: "liver", 2: "tumor"},
        {ADAPTER_3D: Paper(
            Window(-48, 163, 60.057533, 40.198017), _ONE_MM, Counts(83, 11, 24), ("tumor",),
            said=f"{_NO_LIST}; its 118 cases are fewer than the published 131"
        )},
    ),
    Recipe(
        "msd_colon", "Medical Segmentation Decathlon, Task10_Colon", _DECATHLON,
        ("CT",), {1: "colon cancer"},
        {ADAPTER_3D: Paper(
            Window(-57, 175, 65.175035, 32.651197), _ONE_MM, Counts(89, 11, 26), ("colon cancer",), said=_NO_LIST
        )},
    ),
    Recipe(
        "btcv", "BTCV, abdominal organs in CT",
        (Source(("img/img{case:[0-9]+}.nii.gz",), "label/label{case}.nii.gz", name="img{case}"),),
        ("CT",), _BTCV_CLASSES,
        {
            MA_SAM: Paper(
                Window(-200, 250, 50.21997497685108, 68.47153712416372), None, Listed((((), _BTCV_TEST),)),
                merge={13: 12},
            ),
            MEDICAL_ADAPTER: Paper(_BTCV_MSA, _MSA_SPACING, Listed(((_BTCV_TEST, ()),))),
        },
    ),
    _amos("amos22_ct", "CT", (1, 500), {
        MEDICAL_ADAPTER: Paper(_BTCV_MSA, _MSA_SPACING, said="window and spacing are those of the paper's BTCV"),
        MA_SAM: Paper(_BTCV_MA, said="the window is that of the paper's BTCV"),
    }),
    _amos("amos22_mr", "MRI", (501, 9999), {
        MEDICAL_ADAPTER: Paper(None, _MSA_SPACING, said="the paper names no window for MRI"),
        MA_SAM: Paper(None, said="the paper names no window for MRI"),
    }),
    Recipe(
        "prostate_mr", "Prostate T2 MRI from six sites (SAML)",
        (Source(("{site}/{case:Case[0-9]+}.nii.gz",), "{site}/{case}_segmentation.nii.gz", name="{site}_{case}"),),
        ("T2",), {1: "prostate"},
        {MA_SAM: Paper(Window(lower_quantile=0.0, upper_quantile=0.99), None, Listed((((), _PROSTATE_NAMES),)))},
        values={1: 1, 2: 1},
    ),
    Recipe(
        "endovis18", "EndoVis 2018, robotic scene segmentation",
        (
            Source(
                ("*test*/**/{case:seq_[0-9]+}/left_frames/{frame}.png",), "*test*/**/{case}/labels/{frame}.png",
                name="test_{case}", side=TEST,
            ),
            Source(("{case:seq_[0-9]+}/left_frames/{frame}.png",), "{case}/labels/{frame}.png", side=TRAIN),
        ),
        _RGB, dict(enumerate(_ENDOVIS.values(), start=1)), {MA_SAM: Paper()}, Kind.FRAMES,
        colors={color: value for value, color in enumerate(_ENDOVIS, start=1)},
    ),
    Recipe(
        "brats21", "BraTS 2021, gliomas in four MRI sequences",
        (Source(
            tuple("{case}/{case}_" + end + ".nii.gz" for end in ("t1", "t1ce", "t2", "flair")),
            "{case}/{case}_seg.nii.gz",
        ),),
        ("T1", "T1ce", "T2", "FLAIR"), {1: "necrotic core", 2: "edema", 3: "enhancing tumor"},
        {MEDICAL_ADAPTER: Paper(None, None, _FIFTH, said=_NO_SPLIT)},
        values={1: 1, 2: 2, 4: 3},
        regions={"whole tumor": (1, 2, 3), "tumor core": (1, 3), "enhancing tumor": (3,)},
    ),
    Recipe(
        "refuge2", "REFUGE2, optic disc and cup in fundus photographs",
        (
            Source(
                ("Training400/{group}/{case}.jpg",), "Disc_Cup_Masks/{group}/{case}.bmp", side=TRAIN,
            ),
            Source(("REFUGE-Validation400/{case}.jpg",), "REFUGE-Validation400-GT/**/{case}.bmp", side=VALIDATION),
            Source(("Test400/{case}.jpg",), "REFUGE-Test-GT/**/{case}.bmp", side=TEST),
            Source(("train/images/{case}.jpg",), "train/mask*/{case}.*", side=TRAIN),
            Source(("val/images/{case}.jpg",), "val/mask*/{case}.*", side=VALIDATION),
            Source(("test/images/{case}.jpg",), "test/mask*/{case}.*", side=TEST),
        ),
        _RGB, {1: "optic disc rim", 2: "optic cup"},
        {MEDICAL_ADAPTER: Paper(Window(0, 255))}, Kind.PICTURES,
        values={0: 2, 128: 1, 255: 0}, regions={"optic disc": (1, 2), "optic cup": (2,)},
    ),
    Recipe(
        "ddti", "DDTI, thyroid nodules in ultrasound",
        (
            Source(("{patient:[0-9]+}_{case:[0-9]+}.jpg",), "{patient}.xml", name="ddti_{patient}_{case}"),
            Source(("p_image/{case}.png",), "p_mask/{case}.png", name="ddti_{case}"),
        ),
        ("US",), {1: "nodule"},
        {MEDICAL_ADAPTER: Paper(Window(0, 255), None, _FIFTH, said=_NO_SPLIT)}, Kind.PICTURES,
        values={0: 0, 255: 1}, patient_pattern="(ddti_[0-9]+)(?:_[0-9]+)?",
    ),
    Recipe(
        "isic", "ISIC, skin lesions in photographs (2016, part 1 or 3B; 2018, task 1)",
        (
            Source(
                ("*Training*Data/{case:ISIC_[0-9]+}.jpg",), "*Training*/{case}_segmentation.png", side=TRAIN,
            ),
            Source(("*Training_Input/{case:ISIC_[0-9]+}.jpg",), "*Training*/{case}_segmentation.png", side=TRAIN),
            Source(("*Validation*/{case:ISIC_[0-9]+}.jpg",), "*Validation*/{case}_segmentation.png", side=VALIDATION),
            Source(("*Test*/{case:ISIC_[0-9]+}.jpg",), "*Test*/{case}_segmentation.png", side=TEST),
        ),
        _RGB, {1: "lesion"}, {MEDICAL_ADAPTER: Paper(Window(0, 255))}, Kind.PICTURES, values={0: 0, 255: 1},
    ),
    Recipe(
        "sam_med3d", "SAM-Med3D's folders: one a class, in it one a data set", (), ("image",), {},
        {MED_3D: Paper(
            None, (1.5, 1.5, 1.5), said="CT is clipped to -1000 and 1000 HU in training, other images are not"
        )},
        Kind.PER_CLASS,
    ),
)  # fmt: skip
RECIPES = {recipe.name: recipe for recipe in _ALL}


def get_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        OptionError: there is none.
    """
    if name not in RECIPES:
        raise OptionError(f"There is no recipe '{name}'; choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]
