"""The upper abdomen of the phantom: body wall, lung bases, organs, vessels, bowel, spine and ribs.

HU are those of a portal venous scan. Coordinates as in `shapes`: mm to the patient's right, front and head from the
middle of the body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference_core.evaluation.shapes import Blob, Canvas, Float32, Mask, Point, branches, tube, waves

LIVER, SPLEEN, RIGHT_KIDNEY, LEFT_KIDNEY, AORTA, SPINE = 11, 12, 13, 14, 15, 16

HU_LIVER, HU_CORTEX = 108.0, 185.0
_HU = {
    "fat": -103.0, "skin": 25.0, "muscle": 55.0, "fluid": 8.0, "wall": 70.0, "gas": -960.0, "lung": -860.0,
    "spleen": 122.0, "medulla": 150.0, "pancreas": 92.0, "vein": 158.0, "artery": 172.0, "blood": 150.0,
    "marrow": 175.0, "cortex": 520.0, "disc": 85.0, "cord": 32.0, "table": -420.0,
}  # fmt: skip
_FAT_MM, _WALL_MM = 15.0, 27.0


@dataclass(frozen=True)
class Body:
    """What one patient has of their own: seed, and the half axes of the body in mm."""

    seed: int
    half_width: float
    half_depth: float

    @classmethod
    def of(cls, seed: int) -> Body:
        """A patient of about average size."""
        rng = np.random.default_rng(seed)
        return cls(seed, 160.0 * rng.uniform(0.97, 1.04), 114.0 * rng.uniform(0.97, 1.04))

    def liver(self) -> tuple[Blob, Blob]:
        """The right and the left lobe."""
        right = Blob((76, 2, 22), (66, 80, 88), lean=6, wave=2.5, wavelength=90, seed=self.seed + 1)
        return right, Blob((6, 40, 34), (74, 40, 44), lean=18, wave=2.0, wavelength=80, seed=self.seed + 2)

    def kidney(self, side: int) -> Blob:
        """The right (side 1) or left (side -1) kidney, leaning along the psoas."""
        height = -48.0 if side > 0 else -30.0
        return Blob(
            (side * 64, -44, height), (27, 25, 54), lean=-side * 12, wave=1.2, wavelength=45, seed=self.seed + 3
        )


def paint_body(canvas: Canvas, body: Body) -> Float32:
    """Paint table, skin, fat and the muscle wall; returns the depth below the skin in mm."""
    everywhere = (slice(None),) * 3
    table = np.abs(canvas.y + body.half_depth + 20 - (canvas.x / 42) ** 2) < 2.0
    canvas.paint(everywhere, table & (np.abs(canvas.x) < 200), hu=_HU["table"])
    depth = _depth_below_skin(canvas, body)
    uneven = 2.5 * waves(canvas.x, canvas.y, canvas.z, wavelength=150, seed=body.seed + 4)
    # Fat is thicker over the flanks and back than over the sternum.
    thickness = _FAT_MM + uneven - 5 * np.clip(canvas.y / body.half_depth, -0.5, 1)
    canvas.paint(everywhere, depth > 0, hu=_HU["skin"])
    canvas.paint(everywhere, depth > 2.2, hu=_HU["fat"])
    canvas.paint(everywhere, depth > thickness, hu=_HU["muscle"])
    canvas.paint(everywhere, depth > _WALL_MM, hu=_HU["fat"])
    return depth


def _depth_below_skin(canvas: Canvas, body: Body) -> Float32:
    """Radial distance to an FG-squircle (Fernandez-Guasti 1992), flatter than an ellipse at flanks and front."""
    u, v = (canvas.x / np.float32(body.half_width)) ** 2, (canvas.y / np.float32(body.half_depth)) ** 2
    total = u + v
    q = np.sqrt((total + np.sqrt(np.maximum(total * total - np.float32(1.6) * u * v, 0))) / 2)
    waist = 1 - 0.03 * np.cos(canvas.z / 70)
    radius = np.sqrt(canvas.x**2 + canvas.y**2)
    return np.asarray(radius * (waist / np.maximum(q, 1e-3) - 1), dtype=np.float32)


def diaphragm_height(canvas: Canvas) -> Float32:
    """Height z in mm of the diaphragm at every voxel: two domes and the tendon between them."""
    right = 96 - 78 * (((canvas.x - 74) / 82) ** 2 + ((canvas.y - 8) / 84) ** 2)
    left = 84 - 78 * (((canvas.x + 78) / 80) ** 2 + ((canvas.y - 4) / 84) ** 2)
    tendon = 74 - 62 * ((canvas.x / 95) ** 2 + ((canvas.y - 28) / 84) ** 2)
    return np.asarray(np.maximum(np.maximum(right, left), tendon), dtype=np.float32)


def paint_chest(canvas: Canvas, body: Body, *, depth: Float32, dome: Float32) -> None:
    """Paint the lung bases with their vessels, the diaphragm and the heart."""
    box = canvas.box((0, 0, 130), (200, 160, 128))
    x, y, z = canvas.x[box], canvas.y[box], canvas.z[box]
    mediastinum = ((x + 8) / 46) ** 2 + ((y - 6) / 88) ** 2 < 1
    chest = (depth[box] > _WALL_MM - 1) & ~mediastinum
    above = z - dome[box]
    canvas.paint(box, chest & (above > -3.5), hu=_HU["muscle"])
    lung = chest & (above > 0)
    canvas.paint(box, lung, hu=_HU["lung"])
    vessel = waves(x, y, z, wavelength=26, seed=body.seed + 5) * waves(x, y, z, wavelength=17, seed=body.seed + 6)
    canvas.paint(box, lung & (vessel > 0.8) & (above > 4), hu=0.0)
    gullet = (x + 18) ** 2 + (y + 2 + (z - 60) / 8) ** 2
    canvas.paint(box, (gullet < 10**2) & (z > 55), hu=_HU["wall"])
    heart = Blob((-24, 34, 116), (66, 50, 46), lean=-20, wave=1.5, seed=body.seed)
    box = heart.box(canvas)
    muscle = heart.depth(canvas, box)
    canvas.paint(box, muscle > -4, hu=_HU["fat"])
    canvas.paint(box, muscle > 0, hu=105.0)
    canvas.paint(box, muscle > 11, hu=_HU["blood"])


def paint_digestive(canvas: Canvas, body: Body, *, depth: Float32, dome: Float32) -> None:
    """Paint stomach, colon, small bowel and pancreas into the cavity's fat."""
    rng = np.random.default_rng(body.seed + 7)
    free = (depth > _WALL_MM + 3) & (canvas.z < dome - 6) & (canvas.y > -30)
    for _ in range(120):
        x, y, z = rng.uniform(-90, 90), rng.uniform(2, 76), rng.uniform(-150, -40)
        radii = (rng.uniform(12, 26), rng.uniform(10, 15), rng.uniform(10, 20))
        loop = Blob((x, y, z), radii, lean=rng.uniform(-60, 60), wave=1.5, wavelength=25, seed=int(rng.integers(2**31)))
        gas = 4.0 if rng.random() < 0.22 else None
        _paint_hollow(canvas, loop, free=free, content=rng.uniform(10, 45), gas_above=gas)
    flanks = [(side * 108.0, -6.0, -20.0 - 9 * step) for side in (-1, 1) for step in range(14)]
    front = [(x, 62.0 - (x / 40) ** 2, -34.0 - 10 * np.cos(x / 45)) for x in np.arange(-92.0, 100.0, 13.0)]
    for place in flanks + front:
        colon = Blob(_shaken(place, rng), (20, 18, 13), wave=1.5, wavelength=22, seed=int(rng.integers(2**31)))
        _paint_hollow(canvas, colon, free=free, content=35.0, gas_above=float(rng.uniform(0, 12)))
    stomach = Blob((-64, 30, 38), (42, 40, 50), lean=-20, wave=3, wavelength=60, seed=body.seed + 8)
    _paint_hollow(canvas, stomach, free=free, content=22.0, gas_above=10.0)
    for step in range(9):
        place = (18 - 9.5 * step, 14 - 0.9 * (step - 4) ** 2, -8 + 3.2 * step)
        part = Blob(place, (11, 9, 10), wave=1.2, wavelength=14, seed=body.seed + step)
        box = part.box(canvas)
        canvas.paint(box, part.depth(canvas, box) > 0, hu=_HU["pancreas"])


def _shaken(place: Point, rng: np.random.Generator) -> Point:
    x, y, z = np.asarray(place) + rng.normal(scale=2.5, size=3)
    return float(x), float(y), float(z)


def _paint_hollow(canvas: Canvas, blob: Blob, *, free: Mask, content: float, gas_above: float | None) -> None:
    """Paint a wall, its content, and gas that floats more than `gas_above` mm in front of the center."""
    box = blob.box(canvas)
    depth = blob.depth(canvas, box)
    inside = free[box]
    canvas.paint(box, inside & (depth > -1.5), hu=_HU["fat"])
    canvas.paint(box, inside & (depth > 0), hu=_HU["wall"])
    canvas.paint(box, inside & (depth > 2.8), hu=content)
    if gas_above is not None:
        canvas.paint(box, inside & (depth > 2.8) & (canvas.y[box] > blob.center[1] + gas_above), hu=_HU["gas"])


def paint_liver(canvas: Canvas, body: Body, *, depth: Float32, dome: Float32) -> None:
    """Paint the liver with its veins, and the gall bladder."""
    for lobe in body.liver():
        box = lobe.box(canvas)
        inside = (lobe.depth(canvas, box) > 0) & (depth[box] > _WALL_MM) & (canvas.z[box] < dome[box] - 2)
        # The visceral surface: the liver ends above the right kidney and the bowel, further down on the right.
        under = canvas.z[box] < -58 + 0.55 * np.abs(canvas.x[box] - 96) - 0.22 * canvas.y[box]
        inside &= ~under & ((canvas.x[box] - 16) ** 2 + (canvas.y[box] + 40) ** 2 > 40**2)
        canvas.paint(box, inside, hu=HU_LIVER, label=LIVER)
    _paint_veins(canvas, body)
    bladder = Blob((58, 52, -34), (15, 17, 25), lean=10, wave=1, seed=body.seed)
    box = bladder.box(canvas)
    wall = bladder.depth(canvas, box)
    canvas.labels[box][wall > 0] = 0
    canvas.paint(box, wall > 0, hu=_HU["muscle"])
    canvas.paint(box, wall > 1.5, hu=_HU["fluid"])


def _paint_veins(canvas: Canvas, body: Body) -> None:
    """Paint the trees of the portal vein, from the hilum, and of the hepatic veins, from the vena cava."""
    portal: tuple[tuple[Point, Point], ...] = (((34, 4, 6), (1, -0.1, 0.35)), ((34, 8, 8), (0.5, 0.8, 0.5)))
    hepatic: tuple[Point, ...] = ((1, 0.1, -0.45), (0.7, 0.9, -0.4), (-0.3, 1, -0.25))
    veins = []
    for n, (start, heading) in enumerate(portal):
        veins += branches(start, heading, length=30, radius=6.8 - n, seed=body.seed + 20 + n)
    for n, heading in enumerate(hepatic):
        veins += branches((24, -8, 82), heading, length=32, radius=5.6, seed=body.seed + 30 + n)
    for start, end, radius in veins:
        box = canvas.box(start, 38.0)
        vein = tube(canvas, box, start=start, end=end, radii=(radius, radius * 0.75)) > 0
        canvas.paint(box, vein & (canvas.labels[box] == LIVER), hu=_HU["vein"])


def paint_spleen(canvas: Canvas, body: Body, *, depth: Float32, dome: Float32) -> None:
    """Paint the spleen under the left dome, hollowed towards the stomach."""
    spleen = Blob((-104, -34, 36), (30, 50, 52), lean=-8, wave=2, wavelength=70, seed=body.seed + 9)
    box = spleen.box(canvas)
    hollow = (canvas.x[box] + 58) ** 2 / 40**2 + (canvas.y[box] + 14) ** 2 / 46**2 < 1
    inside = (spleen.depth(canvas, box) > 0) & (depth[box] > _WALL_MM) & (canvas.z[box] < dome[box] - 2) & ~hollow
    canvas.paint(box, inside, hu=_HU["spleen"], label=SPLEEN)


def paint_kidneys(canvas: Canvas, body: Body) -> None:
    """Paint both kidneys: bright cortex, darker pyramids, and the fat of a sinus that opens to the middle."""
    for side, label in ((1, RIGHT_KIDNEY), (-1, LEFT_KIDNEY)):
        kidney = body.kidney(side)
        box = kidney.box(canvas)
        depth = kidney.depth(canvas, box)
        canvas.paint(box, (depth > -7) & (canvas.labels[box] == 0), hu=_HU["fat"])
        canvas.paint(box, depth > 0, hu=HU_CORTEX, label=label)
        x, y, z = (axis[box] for axis in (canvas.x, canvas.y, canvas.z))
        pyramids = waves(x, y, z, wavelength=26, seed=body.seed + 10) > -0.15
        canvas.paint(box, (depth > 7) & pyramids, hu=_HU["medulla"])
        cx, cy, cz = kidney.center
        hilum = Blob((cx - side * 17, cy + 6, cz), (17, 8, 25), lean=kidney.lean, wave=3, wavelength=22, seed=body.seed)
        inside = hilum.depth(canvas, box) > 0
        canvas.labels[box][inside] = 0
        canvas.paint(box, inside, hu=_HU["fat"])
        pelvis = Blob((cx - side * 17, cy + 6, cz - 4), (14, 5, 12), wave=1, wavelength=20, seed=body.seed)
        canvas.paint(box, pelvis.depth(canvas, box) > 0, hu=35.0)


def paint_back(canvas: Canvas, body: Body, *, depth: Float32) -> None:
    """Paint psoas and back muscles, aorta, vena cava, and the spine."""
    for side in (-1, 1):
        for muscle in (
            Blob((side * 33, -48, -110), (15, 18, 95), lean=-side * 7, seed=body.seed),
            Blob((side * 30, -77, -20), (29, 18, 400), wave=1.5, wavelength=50, seed=body.seed),
            Blob((side * 66, -74, -90), (26, 10, 90), wave=1.5, wavelength=50, seed=body.seed),
        ):
            box = canvas.box(muscle.center, (40, 40, muscle.radii[2]))
            canvas.paint(box, (muscle.depth(canvas, box) > 0) & (depth[box] > _FAT_MM), hu=_HU["muscle"])
    for x, y, radius, name in ((-11.0, -12.0, 11.5, "artery"), (21.0, -14.0, 12.0, "blood")):
        box = canvas.box((x, y, 0), (16, 16, 400))
        squared = (canvas.x[box] - x) ** 2 + ((canvas.y[box] - y) * (1.0 if name == "artery" else 1.3)) ** 2
        canvas.paint(box, squared < (radius + 2) ** 2, hu=_HU["fat"])
        canvas.paint(box, squared < radius**2, hu=_HU[name], label=AORTA if name == "artery" else None)
    _paint_spine(canvas, body)


def _paint_spine(canvas: Canvas, body: Body) -> None:
    """Paint vertebral bodies and discs, the canal, the arch and the processes; a level is 36 mm high."""
    i, j, k = canvas.box((0, -60, 0), (48, 42, 400))
    x, y, z = canvas.x[i, j, k], canvas.y[i, j, k], canvas.z[i, j, k]
    level = np.mod(z + 12, 36)
    front = 19 - np.sqrt((x * 0.82) ** 2 + (y + 43) ** 2)
    canal = 9.5 - np.sqrt((x * 0.9) ** 2 + (y + 68) ** 2)
    ring = np.maximum(canal + 6.5, 4.5 - np.maximum(np.abs(x), np.abs(y + 84) - 11))
    transverse = np.minimum(4.5 - np.hypot(y + 70 - np.abs(x) / 12, level - 22), 44 - np.abs(x))
    arch = np.where(level > 9, np.maximum(ring, transverse), transverse)
    marrow = _HU["marrow"] + 30 * waves(x, y, z, wavelength=14, seed=body.seed + 11)
    box = (i, j, k)
    canvas.paint(box, front > 0, hu=_HU["disc"], label=SPINE)
    canvas.paint(box, (front > 0) & (level > 9), hu=_HU["cortex"], label=SPINE)
    canvas.paint(box, np.minimum(front, np.minimum(level - 9, 36 - level)) > 1.8, hu=marrow)
    canvas.paint(box, arch > 0, hu=_HU["cortex"], label=SPINE)
    canvas.paint(box, arch > 2.2, hu=marrow)
    canvas.paint(box, canal > 0, hu=_HU["fat"], label=SPINE)
    canvas.paint(box, canal > 1.5, hu=_HU["cord"])


def paint_ribs(canvas: Canvas, *, depth: Float32) -> None:
    """Paint the ribs: oblique hoops in the chest wall that sink towards the front and stop higher up there."""
    angle = np.abs(np.arctan2(canvas.x, -canvas.y))
    height = canvas.z + 42 * angle
    across = np.mod(height, 29) - 14.5
    radial = depth - (_WALL_MM - 5.5)
    bone = 1 - np.sqrt((across / 6.8) ** 2 + (radial / 4.6) ** 2)
    lowest = -62 + 36 * np.maximum(angle - 0.35, 0)
    there = (angle > 0.35) & (angle < 2.3) & (canvas.z > lowest)
    everywhere = (slice(None),) * 3
    canvas.paint(everywhere, there & (bone > 0), hu=_HU["cortex"])
    canvas.paint(everywhere, there & (bone > 0.35), hu=_HU["marrow"])
    cartilage = (angle >= 2.3) & (angle < 2.75) & (canvas.z > lowest)
    canvas.paint(everywhere, cartilage & (bone > 0), hu=115.0)
