"""How the panel says numbers, models and prompts; no Qt and no MRML here."""

from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from inference_core.measures.measurements import Measurements
    from inference_core.models.spec import ModelSpec

# The directions of the first and the second half of each axis of RAS.
_DIRECTIONS = (("R", "L"), ("A", "P"), ("S", "I"))


def position(ras: Any) -> str:
    """A point in RAS mm as "12.3 R  40.1 P  55.0 S"."""
    return "  ".join(f"{abs(value):.1f} {names[int(value < 0)]}" for value, names in zip(ras, _DIRECTIONS, strict=True))


def boxSize(size: Any) -> str:
    """Edges in mm as "box 42 × 38 × 30 mm"."""
    return _("box {edges} mm").format(edges=" × ".join(f"{edge:.0f}" for edge in size))


def length(mm: float) -> str:
    """A length in mm."""
    return _("{mm} mm").format(mm=f"{mm:.1f}")


def volume(ml: float) -> str:
    """A volume with about three digits: "0.62 ml", "8.3 ml", "142 ml"."""
    return _("{number} ml").format(number=milliliters(ml)) if ml > 0 else _("empty")


def milliliters(number: float) -> str:
    """A volume in milliliters without its unit, with about three digits."""
    return f"{number:.{2 if number < 1 else 1 if number < 100 else 0}f}"


def seconds(duration: float) -> str:
    """A duration as "0.18 s" or "12 s"."""
    return _("{number} s").format(number=f"{duration:.2f}" if duration < 10 else f"{duration:.0f}")


def fileSize(count: int | None) -> str:
    """Bytes as "5.2 MB"; empty where unknown."""
    if not count:
        return ""
    return (
        f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB" if count < 1e7 else f"{count / 1e6:.0f} MB"
    )


def promptKinds(spec: "ModelSpec") -> str:
    """What a model takes, such as "clicks, 3D box, line, scribble, lasso, mask"."""
    from inference_core.models.spec import PromptKind

    kinds = spec.accepted_kinds
    bothSigns = PromptKind.NEGATIVE_CLICK in kinds
    words = {
        PromptKind.POSITIVE_CLICK: _("clicks") if bothSigns else _("foreground clicks"),
        PromptKind.BOX: _("3D box"),
        PromptKind.LINE: _("line"),
        PromptKind.SCRIBBLE: _("scribble"),
        PromptKind.LASSO: _("lasso"),
        PromptKind.MASK: _("mask"),
        PromptKind.TEXT: _("text"),
        PromptKind.NONE: _("no prompts (automatic)"),
    }
    return ", ".join(word for kind, word in words.items() if kind in kinds)


def shortLicense(spec: "ModelSpec") -> str:
    """The license's name without what is said about the training data."""
    return spec.license.split(";")[0].strip()


def whereFrom(spec: "ModelSpec", *, installed: bool) -> str:
    """Whether a model is there: "built in", "installed" or "not installed"."""
    if spec.checkpoint.bundled and installed:
        return _("built in")
    return _("installed") if installed else _("not installed")


def measurements(found: "Measurements") -> str:
    """Two lines: "16.9 ml · 42.1 × 33.0 mm axial", and "45.2 mm in 3D · mean 41.3, SD 12.1 HU"."""
    first, second = [volume(found.volume_ml)], []
    if found.axial is not None:
        axes = f"{found.axial.longest.mm:.1f} × {found.axial.perpendicular.mm:.1f}"
        first.append(_("{axes} mm axial").format(axes=axes))
    if found.longest_3d is not None:
        second.append(_("{length} mm in 3D").format(length=f"{found.longest_3d.mm:.1f}"))
    second.append(meanAndSd(found))
    return "\n".join(filter(None, (" · ".join(filter(None, line)) for line in (first, second))))


def meanAndSd(found: "Measurements") -> str:
    """ "mean 41.3, SD 12.1 HU"; without a unit where none is known, empty without statistics."""
    values = found.statistics
    if values is None:
        return ""
    text = _("mean {mean}, SD {sd} {unit}")
    return text.format(mean=grayValue(values.mean), sd=grayValue(values.sd), unit=found.unit).rstrip()


def grayValue(value: float) -> str:
    """A voxel's value with about three digits: "70.1", "1240", "0.0123"."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 1 or not value else f"{value:.3g}"


def measurementsInFull(found: "Measurements") -> str:
    """Every number with its name, a line each, and what the lengths are."""
    lines = [_("Volume {ml} ml, {voxels} voxels").format(ml=f"{found.volume_ml:.4g}", voxels=found.voxels)]
    if found.axial is not None:
        lines.append(_("Longest axial diameter {mm} mm (RECIST 1.1)").format(mm=f"{found.axial.longest.mm:.1f}"))
        lines.append(_("Short axis across it {mm} mm").format(mm=f"{found.axial.perpendicular.mm:.1f}"))
    if found.longest_3d is not None:
        lines.append(_("Longest in 3D {mm} mm").format(mm=f"{found.longest_3d.mm:.1f}"))
    if (values := found.statistics) is not None:
        numbers = (values.mean, values.sd, values.median, values.min, values.max)
        mean, sd, median, low, high = map(grayValue, numbers)
        text = _("Mean {mean}, SD {sd}, median {median}, from {low} to {high} {unit}")
        lines.append(text.format(mean=mean, sd=sd, median=median, low=low, high=high, unit=found.unit).rstrip())
    return "\n".join(lines)
