"""Which rows, columns and measures each table has; what the papers and their published code say of the protocol.

A row is a way of prompting. 3DSAM-adapter's test program draws its points anywhere in the target, with replacement, and
gives all of them at once; SAM-Med3D's goes on with a click anywhere in what is wrong. What a paper leaves open is said
in `Table.said`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from inference_core.errors import OptionError


class Prompting(Enum):
    """How a model is told of its target."""

    AUTOMATIC = "automatic"  # not at all
    POINTS = "points"  # foreground voxels, all at once
    CLICKS = "clicks"  # the first in the target, each next one in what is wrong
    BOX = "box"


@dataclass(frozen=True)
class Setting:
    """A row: a way of prompting, how many points or clicks, or how much wider a box is on either side of each edge."""

    name: str
    prompting: Prompting
    count: int = 0
    margin: float = 0.0


class Columns(Enum):
    """What a table's columns are, the average aside."""

    CLASSES = "classes"
    SITES = "sites"  # the beginning of a case's name
    CASES = "cases"


@dataclass(frozen=True)
class Measure:
    """A measure by its name in the papers; `tolerance_mm` is that of the NSD. Shares are given in percent."""

    name: str
    tolerance_mm: float | None = None

    @property
    def in_mm(self) -> bool:
        """Whether it is a distance, of which less is better."""
        return self.name in ("HD", "HD95")

    @property
    def title(self) -> str:
        """The name with its unit."""
        tolerance = "" if self.tolerance_mm is None else f" at {self.tolerance_mm:g} mm"
        return f"{self.name}{tolerance}, {'mm' if self.in_mm else '%'}"


@dataclass(frozen=True)
class Table:
    """A table; `recipes` are the prepared data sets (`data prepare`) that it is of."""

    name: str
    title: str
    recipes: tuple[str, ...]
    settings: tuple[Setting, ...]
    measures: tuple[Measure, ...]
    columns: Columns = Columns.CLASSES
    said: str = ""

    def setting(self, name: str) -> Setting:
        """The row of a name.

        Raises:
            OptionError: there is none.
        """
        for setting in self.settings:
            if setting.name == name:
                return setting
        there = ", ".join(f"'{setting.name}'" for setting in self.settings)
        raise OptionError(f"The table '{self.name}' has no row '{name}'; choose of {there}.")


AUTOMATIC = Setting("automatic", Prompting.AUTOMATIC)
TIGHT, RELAXED = Setting("tight box", Prompting.BOX), Setting("box 5 % wider", Prompting.BOX, margin=0.05)
POINTS = tuple(
    Setting(f"{count} point{'s' if count > 1 else ''}", Prompting.POINTS, count=count) for count in (1, 3, 10)
)
CLICKS = tuple(
    Setting(f"{count} click{'s' if count > 1 else ''}", Prompting.CLICKS, count=count) for count in (1, 3, 5, 10)
)
DICE, IOU, HD, HD95 = Measure("Dice"), Measure("IoU"), Measure("HD"), Measure("HD95")
NSD = Measure("NSD", tolerance_mm=5.0)
_BOX_SAID = "by how much and on which edges a relaxed box is wider is not published: 5 % of each edge on either side"
_EMPTY_SAID = "a distance to an empty mask is left out of the mean and counted"


def _tumor(name: str, title: str, recipe: str) -> Table:
    return Table(name, title, (recipe,), POINTS, (DICE, NSD))


_ALL = (
    _tumor("kits21", "Kidney tumors of KiTS21", "kits21"),
    Table(
        "pancreas", "Pancreas tumors of the Decathlon", ("msd_pancreas",), (*POINTS, AUTOMATIC, TIGHT, RELAXED),
        (DICE, NSD), said=f"{_BOX_SAID}; MA-SAM's tolerance is not published: 3DSAM-adapter's is taken",
    ),
    _tumor("lits", "Liver tumors of LiTS17", "lits17"),
    _tumor("colon", "Colon cancers of the Decathlon", "msd_colon"),
    Table(
        "amos", "Abdominal organs of AMOS22", ("amos22_ct", "amos22_mr"),
        (*POINTS[:2], TIGHT, AUTOMATIC, *CLICKS), (DICE, HD95), said=_EMPTY_SAID,
    ),
    Table(
        "btcv", "Abdominal organs of BTCV", ("btcv",), (AUTOMATIC, *POINTS[:2], TIGHT, *CLICKS), (DICE, HD, HD95),
        said=f"which percentile MA-SAM's HD is of is not published: both are measured; {_EMPTY_SAID}",
    ),
    Table(
        "prostate", "Prostates in MRI of six sites", ("prostate_mr",), (AUTOMATIC, *POINTS[:1], TIGHT),
        (DICE, HD, HD95), Columns.SITES, said=_EMPTY_SAID,
    ),
    Table(
        "endovis", "Instruments and tissue of EndoVis 2018", ("endovis18",), (AUTOMATIC,), (IOU, DICE), Columns.CASES,
        said="the mean over the classes that a sequence shows, each over all its frames together",
    ),
    Table(
        "brats", "Gliomas of BraTS 2021", ("brats21",), (*POINTS[:2], TIGHT), (DICE, HD95), said=_EMPTY_SAID,
    ),
    Table("refuge", "Optic disc and cup of REFUGE2", ("refuge2",), (*POINTS[:2], TIGHT), (DICE, IOU)),
    Table("ddti", "Thyroid nodules of DDTI", ("ddti",), (*POINTS[:2], TIGHT), (DICE, IOU)),
    Table("isic", "Skin lesions of ISIC", ("isic",), (*POINTS[:2], TIGHT), (DICE, IOU)),
    Table("sam_med3d", "SAM-Med3D's validation sets", ("sam_med3d",), CLICKS, (DICE,)),
)  # fmt: skip
TABLES = {table.name: table for table in _ALL}
