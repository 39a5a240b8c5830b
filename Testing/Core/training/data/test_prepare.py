"""Every recipe on a miniature copy of its publisher's layout: oblique grids, a few voxels, the real names."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import SimpleITK as sitk

from inference_core.errors import OptionError, OutputError, VolumeError
from inference_core.geometry.grid import Grid
from inference_core.training.data import patient_of, read_data_set, split_by_patient
from inference_core.training.data.prepare import prepare
from inference_core.training.data.recipes import RECIPES, get_recipe


@pytest.fixture
def place(tmp_path, put, a_label):
    """Write the image and the label of a case of a published set."""

    def of(image, label, *values, seed=0):
        put(tmp_path / "source" / image, seed)
        if label is not None:
            put(tmp_path / "source" / label, a_label(*values))

    return of


@pytest.fixture
def paint(tmp_path):
    """Write a picture, (columns, rows) or (columns, rows, 3)."""

    def of(path, pixels):
        path = tmp_path / "source" / path
        path.parent.mkdir(parents=True, exist_ok=True)
        turned = np.ascontiguousarray(np.swapaxes(pixels, 0, 1).astype(np.uint8))
        sitk.WriteImage(sitk.GetImageFromArray(turned, isVector=pixels.ndim == 3), str(path))

    return of


@pytest.fixture
def prepared(tmp_path):
    """Prepare the source by a recipe and read what came of it."""

    def of(name, **settings):
        done = prepare(get_recipe(name), tmp_path / "source", tmp_path / "out", **settings)
        return done, read_data_set(tmp_path / "out")

    return of


def labels_in(case):
    return set(np.unique(case.read_labels().array).tolist()) - {0}


def test_kits21_is_prepared(place, prepared, a_grid):
    for n in range(10):
        place(
            f"kits21/data/case_{n:05d}/imaging.nii.gz", f"kits21/data/case_{n:05d}/aggregated_MAJ_seg.nii.gz", 1, 2, 3
        )
        place(f"kits21/data/case_{n:05d}/aggregated_OR_seg.nii.gz", None)
    done, data = prepared("kits21")
    assert done.paper == "sam3d_adapter"
    assert data.classes == {1: "kidney", 2: "tumor", 3: "cyst"}
    assert data.notes["window"] == {"lower": -54, "upper": 247, "mean": 59.53867, "std": 55.457336}
    assert (data.notes["spacing"], data.notes["targets"]) == ([1.0, 1.0, 1.0], ["tumor"])
    split = split_by_patient(data)
    assert (len(split.train), len(split.validation), len(split.test)) == (7, 1, 2)
    assert data["case_00003"].read_labels().grid.matches(a_grid, tolerance_mm=1e-3)


@pytest.mark.parametrize(("paper", "upper"), [("ma_sam", 200), ("sam3d_adapter", 204)])
def test_msd_pancreas_is_prepared_with_the_published_folds(place, prepared, paper, upper):
    for n in (1, 56, 6, 25):
        place(
            f"Task07_Pancreas/imagesTr/pancreas_{n:03d}.nii.gz",
            f"Task07_Pancreas/labelsTr/pancreas_{n:03d}.nii.gz",
            1,
            2,
        )
    place("Task07_Pancreas/imagesTs/pancreas_002.nii.gz", None)
    done, data = prepared("msd_pancreas", paper=paper)
    assert data.notes["window"]["upper"] == upper
    assert len(data.folds) == 5
    first, second = (split_by_patient(data, fold=fold) for fold in (0, 1))
    assert first.validation == ("pancreas_056",)
    assert first.test == ("pancreas_006",)
    assert "pancreas_025" in second.test
    assert len(done.missing) == 277


def test_msd_pancreas_is_prepared_from_a_folder_a_case_as_well(place, prepared):
    for n in (1, 56):
        place(f"Training/pancreas_{n:03d}/image.nii.gz", f"Training/pancreas_{n:03d}/segmentation.nii.gz", 1, 2)
    _, data = prepared("msd_pancreas", paper="ma_sam")
    assert {case.name for case in data.cases} == {"pancreas_001", "pancreas_056"}


def test_the_published_pancreas_folds_have_the_papers_counts():
    for (validation, test), (count_v, count_t) in zip(
        RECIPES["msd_pancreas"].papers["ma_sam"].split.folds, [(28, 57)] * 4 + [(28, 53)], strict=True
    ):
        assert (len(validation), len(test)) == (count_v, count_t)
        assert not set(validation) & set(test)


def test_lits17_is_prepared_from_plain_files_in_two_batches(place, prepared, tmp_path, a_grid):
    for n, batch in ((0, 1), (1, 1), (28, 2), (131, 2)):
        place(f"Training Batch {batch}/volume-{n}.nii", f"Training Batch {batch}/segmentation-{n}.nii", 1, 2, seed=n)
    place("LITS-Challenge-Test-Data/test-volume-0.nii", None)
    _, data = prepared("lits17")
    assert [case.name for case in data.cases if case.name == "lits_131"]
    assert len(data.cases) == 4
    packed = next((tmp_path / "out").glob("images*/lits_28_0000.nii.gz"))
    assert gzip.decompress(packed.read_bytes()) == (tmp_path / "source/Training Batch 2/volume-28.nii").read_bytes()


def test_msd_colon_is_prepared(place, prepared):
    for n in range(4):
        place(f"Task10_Colon/imagesTr/colon_{n:03d}.nii.gz", f"Task10_Colon/labelsTr/colon_{n:03d}.nii.gz", 1)
    _, data = prepared("msd_colon")
    assert data.classes == {1: "colon cancer"}
    assert all(getattr(split_by_patient(data), side) for side in ("train", "validation", "test"))


def test_btcv_is_prepared_with_one_class_of_adrenal_glands_for_ma_sam(place, prepared):
    for n in (1, 2, 35, 40):
        place(f"RawData/Training/img/img{n:04d}.nii.gz", f"RawData/Training/label/label{n:04d}.nii.gz", 6, 12, 13)
    place("RawData/Testing/img/img0061.nii.gz", None)
    _, data = prepared("btcv")
    assert 13 not in data.classes
    assert all(labels_in(case) == {6, 12} for case in data.cases)
    assert split_by_patient(data).test == ("img0035", "img0040")
    assert {case.name for case in data.cases if case.split == "test"} == {"img0035", "img0040"}


def test_btcv_is_prepared_with_both_adrenal_glands_for_medical_sam_adapter(place, prepared):
    for n in (1, 2, 35):
        place(f"Training/img/img{n:04d}.nii.gz", f"Training/label/label{n:04d}.nii.gz", 12, 13)
    _, data = prepared("btcv", paper="medical_sam_adapter")
    assert labels_in(data["img0001"]) == {12, 13}
    assert split_by_patient(data).validation == ("img0035",)
    assert data.notes["window"] == {"lower": -175, "upper": 250}
    assert data.notes["spacing"] == [1.5, 1.5, 2.0]


@pytest.mark.parametrize(("recipe", "names"), [("amos22_ct", {"amos_0001", "amos_0008"}), ("amos22_mr", {"amos_0507"})])
def test_amos22_is_prepared_one_modality_at_a_time(place, prepared, recipe, names):
    for n, end in ((1, "Tr"), (8, "Va"), (507, "Tr")):
        place(f"amos22/images{end}/amos_{n:04d}.nii.gz", f"amos22/labels{end}/amos_{n:04d}.nii.gz", 1, 14)
    place("amos22/imagesTs/amos_0100.nii.gz", None)
    _, data = prepared(recipe)
    assert {case.name for case in data.cases} == names
    assert data.classes[14] == "bladder"
    if recipe == "amos22_ct":
        assert split_by_patient(data).validation == ("amos_0008",)


def test_the_prostates_of_six_sites_are_prepared(place, prepared):
    place("BIDMC/Case00.nii.gz", "BIDMC/Case00_segmentation.nii.gz", 1, 2)
    place("BIDMC/Case01.nii.gz", "BIDMC/Case01_segmentation.nii.gz", 1)
    place("HK/Case38.nii.gz", "HK/Case38_Segmentation.nii.gz", 2)
    place("UCL/Case30.nii.gz", "UCL/Case30_segmentation.nii.gz", 1)
    _, data = prepared("prostate_mr")
    assert {case.name for case in data.cases} == {"BIDMC_Case00", "BIDMC_Case01", "HK_Case38", "UCL_Case30"}
    assert all(labels_in(case) == {1} for case in data.cases)
    assert split_by_patient(data).test == ("BIDMC_Case00", "HK_Case38")
    assert data.notes["window"] == {"lower_quantile": 0.0, "upper_quantile": 0.99}


def test_endovis18_is_prepared_with_frames_as_slices(paint, prepared):
    shaft, thread = (0, 255, 0), (187, 155, 25)
    for root in (
        "miccai_challenge_2018_release_1/seq_1",
        "Test_data/test_data/seq_1",
        "miccai_challenge_release_2/seq_5",
    ):
        for frame in range(3):
            image = np.random.default_rng(frame).integers(0, 255, (6, 4, 3))
            label = np.zeros((6, 4, 3))
            label[1, 2], label[3, frame] = shaft, thread
            paint(f"{root}/left_frames/frame{frame:03d}.png", image)
            paint(f"{root}/right_frames/frame{frame:03d}.png", image)
            paint(f"{root}/labels/frame{frame:03d}.png", label)
    _, data = prepared("endovis18")
    assert {(case.name, case.split) for case in data.cases} == {
        ("seq_1", None),
        ("seq_5", None),
        ("test_seq_1", "test"),
    }
    case = data["seq_5"]
    expected = np.stack([np.random.default_rng(f).integers(0, 255, (6, 4, 3)) for f in range(3)], axis=2)
    for channel in range(3):
        np.testing.assert_array_equal(case.read(channel).array, expected[..., channel])
    labels = case.read_labels().array
    assert labels.shape == (6, 4, 3)
    assert (labels[1, 2] == 1).all()
    assert [labels[3, f, f] for f in range(3)] == [6, 6, 6]
    assert data.classes[6] == "thread"
    assert len(split_by_patient(data).validation) == 1


def test_brats21_is_prepared_with_its_four_sequences(place, prepared):
    for n in (0, 2, 3):
        stem = f"BraTS2021_TrainingData/BraTS2021_{n:05d}/BraTS2021_{n:05d}"
        for seed, end in enumerate(("t1", "t1ce", "t2", "flair")):
            place(f"{stem}_{end}.nii.gz", f"{stem}_seg.nii.gz", 1, 2, 4, seed=seed)
    _, data = prepared("brats21")
    assert data.channels == ("T1", "T1ce", "T2", "FLAIR")
    case = data["BraTS2021_00002"]
    assert labels_in(case) == {1, 2, 3}
    expected = np.random.default_rng(3).integers(-500, 500, case.grid().shape)
    np.testing.assert_array_equal(case.read(3).array, expected)
    assert data.notes["regions"]["whole tumor"] == [1, 2, 3]


@pytest.mark.parametrize("as_challenge", [True, False])
def test_refuge2_is_prepared_with_disc_and_cup(paint, prepared, as_challenge):
    mask = np.full((8, 6), 255)
    mask[2:6, 1:5], mask[3:5, 2:4] = 128, 0
    places = (
        [
            *(
                (f"Training400/{kind}/{name}.jpg", f"Annotation-Training400/Disc_Cup_Masks/{kind}/{name}.bmp")
                for kind, name in (("Glaucoma", "g0001"), ("Non-Glaucoma", "n0001"))
            ),
            ("REFUGE-Validation400/V0001.jpg", "REFUGE-Validation400-GT/Disc_Cup_Masks/V0001.bmp"),
            ("REFUGE-Test400/Test400/T0001.jpg", "REFUGE-Test-GT/Disc_Cup_Masks/G/T0001.bmp"),
        ]
        if as_challenge
        else [
            (f"REFUGE2/{side}/images/{name}.jpg", f"REFUGE2/{side}/mask/{name}.bmp")
            for side, name in (("train", "g0001"), ("train", "n0001"), ("val", "V0001"), ("test", "T0001"))
        ]
    )  # fmt: skip
    for image, label in places:
        paint(image, np.full((8, 6, 3), 90))
        paint(label, mask)
    _, data = prepared("refuge2")
    split = split_by_patient(data)
    assert (split.train, split.validation, split.test) == (("g0001", "n0001"), ("V0001",), ("T0001",))
    labels = data["V0001"].read_labels().array[:, :, 0]
    np.testing.assert_array_equal(labels == 2, mask == 0)
    np.testing.assert_array_equal(labels == 1, mask == 128)


def test_ddti_is_prepared_with_its_outlines_filled(paint, prepared, tmp_path):
    outline = [{"x": 1, "y": 2}, {"x": 5, "y": 2}, {"x": 5, "y": 4}, {"x": 1, "y": 4}]
    svg = json.dumps([{"points": outline, "annotation": "", "regionType": "freehand"}])
    for patient in (1, 12, 13):
        for number in (1, 2):
            paint(f"{patient}_{number}.jpg", np.full((9, 7), 60 * number))
        xml = f"<case><mark><image>1</image><svg>{svg}</svg></mark><mark><image>2</image><svg></svg></mark></case>"
        (tmp_path / "source" / f"{patient}.xml").write_text(xml)
    _, data = prepared("ddti")
    assert len(data.cases) == 6
    assert {case.patient for case in data.cases} == {"ddti_1", "ddti_12", "ddti_13"}
    drawn = data["ddti_12_1"].read_labels().array[:, :, 0]
    assert drawn[3, 3] == 1
    assert drawn[3, 5] == 0
    assert 3 * 1 <= drawn.sum() <= 5 * 3
    assert not data["ddti_12_2"].read_labels().array.any()


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("ISBI2016_ISIC_Part3B_{}_Data", "ISBI2016_ISIC_Part3B_{}_Data"),
        ("ISBI2016_ISIC_Part1_{}_Data", "ISBI2016_ISIC_Part1_{}_GroundTruth"),
        ("ISIC2018_Task1-2_{}_Input", "ISIC2018_Task1_{}_GroundTruth"),
    ],
)
def test_isic_is_prepared(paint, prepared, images, labels):
    mask = np.zeros((8, 6))
    mask[2:5, 1:3] = 255
    for side, number in (("Training", 0), ("Training", 1), ("Test", 3)):
        paint(f"{images.format(side)}/ISIC_{number:07d}.jpg", np.full((8, 6, 3), 200))
        paint(f"{labels.format(side)}/ISIC_{number:07d}_Segmentation.png", mask)
    _, data = prepared("isic")
    split = split_by_patient(data)
    assert split.test == ("ISIC_0000003",)
    np.testing.assert_array_equal(data["ISIC_0000003"].read_labels().array[:, :, 0], mask > 0)


def test_folders_per_class_are_joined_and_the_smaller_class_is_kept_whole(place, prepared, tmp_path, put, a_grid):
    liver, lesion = np.zeros((2, *a_grid.shape), dtype=np.uint8)
    liver[1:8, 1:6, 1:4], lesion[3:5, 2:4, 2] = 1, 1
    for name, mask in (("a_lesion", lesion), ("liver", liver)):
        place(f"{name}/ct_WORD/imagesTr/w1.nii.gz", None, seed=4)
        put(tmp_path / "source" / name / "ct_WORD/labelsTr/w1.nii.gz", mask)
    place("liver/ct_WORD/imagesTr/w2.nii.gz", "liver/ct_WORD/labelsTr/w2.nii.gz", 1)
    _, data = prepared("sam_med3d")
    assert data.classes == {1: "a_lesion", 2: "liver"}
    labels = data["ct_WORD_w1"].read_labels().array
    np.testing.assert_array_equal(labels == 1, lesion > 0)
    np.testing.assert_array_equal(labels == 2, (liver > 0) & (lesion == 0))
    assert len(data.cases) == 2


def a_colon(place, *numbers):
    for n in numbers:
        place(f"imagesTr/colon_{n:03d}.nii.gz", f"labelsTr/colon_{n:03d}.nii.gz", 1, seed=n)


def test_a_run_that_was_stopped_goes_on_and_writes_nothing_twice(place, prepared, tmp_path, monkeypatch):
    a_colon(place, 1, 2, 3)
    stopped = []

    def stop(number, _count, _name):
        if number == 2 and not stopped:
            stopped.append(number)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(get_recipe("msd_colon"), tmp_path / "source", tmp_path / "out", notify=stop)
    assert not (tmp_path / "out" / "dataset.json").exists()
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("colon*")}
    assert len(written) == 4
    _, data = prepared("msd_colon")
    assert len(data.cases) == 3
    assert all(path.stat().st_mtime_ns == when for path, when in written.items())


def test_a_folder_that_holds_something_else_is_not_touched(place, prepared, tmp_path):
    a_colon(place, 1, 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds something else"):
        prepared("msd_colon")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_folder_in_the_source_is_refused(place, tmp_path):
    a_colon(place, 1, 2)
    with pytest.raises(OutputError, match="lies in the source"):
        prepare(get_recipe("msd_colon"), tmp_path / "source", tmp_path / "source" / "out")


def test_a_folder_begun_with_another_seed_is_not_mixed_up(place, prepared):
    a_colon(place, 1, 2)
    prepared("msd_colon")
    with pytest.raises(OutputError, match="begun with another recipe, paper, seed or source"):
        prepared("msd_colon", seed=1)


def test_a_case_off_its_grid_is_left_out_and_named(place, prepared, tmp_path, put, a_grid):
    a_colon(place, 1, 2, 3)
    moved = Grid(a_grid.shape, np.diag([1, -1, 1, 1]) @ a_grid.affine)
    put(tmp_path / "source/labelsTr/colon_003.nii.gz", np.ones(a_grid.shape, dtype=np.uint8), grid=moved)
    done, data = prepared("msd_colon")
    assert "does not lie on the voxels" in done.left_out["colon_003"]
    assert {case.name for case in data.cases} == {"colon_001", "colon_002"}
    assert "colon_003" not in (tmp_path / "out" / "splits_final.json").read_text()


def test_a_label_value_of_no_class_is_left_out_and_named(place, prepared):
    a_colon(place, 1, 2)
    place("imagesTr/colon_003.nii.gz", "labelsTr/colon_003.nii.gz", 9)
    done, _ = prepared("msd_colon")
    assert "holds 9, which is no class" in done.left_out["colon_003"]


def test_a_source_of_another_data_set_is_refused(place, prepared):
    a_colon(place, 1)
    with pytest.raises(VolumeError, match="holds no labeled case of KiTS21"):
        prepared("kits21")


def test_a_paper_that_did_not_use_the_set_is_refused(place, prepared):
    a_colon(place, 1)
    with pytest.raises(OptionError, match="choose one of sam3d_adapter"):
        prepared("msd_colon", paper="ma_sam")


def test_a_recipe_that_is_not_there_is_refused():
    with pytest.raises(OptionError, match="There is no recipe 'kits'"):
        get_recipe("kits")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_names_patients_and_classes_that_hold_together(recipe):
    assert patient_of("some_case_01", recipe.patient_pattern)
    for paper in recipe.papers.values():
        left = recipe.classes_of(paper)
        assert set(paper.targets) <= set(left.values())
        assert set(recipe.value_map(paper).values()) <= set(left) | {0}
        assert set(recipe.regions and sum(recipe.regions.values(), ())) <= set(left)
