"""The panel on a small screen, with larger text, and in Slicer's dark style: nothing is cut, everything is seen."""

import numpy as np
import pytest
from support.panel_scenes import FIRST, SECOND, center_of, rest

pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")
QtCore = pytest.importorskip("PySide6.QtCore")
QtGui = pytest.importorskip("PySide6.QtGui")

SECTIONS = ("lesionsSection", "compareSection", "learnSection", "advancedSection", "shortcutsSection", "aboutSection")
SCREEN = (1024, 768)


@pytest.fixture
def a_look(request, _the_user):
    """Slicer in a style and at a scale of its text, from before the module is opened, as after a start with it."""
    from Host.styles import Look

    look = Look(*request.param)
    yield request.param
    look.restore()
    _the_user.settle()


@pytest.fixture
def a_full_panel(a_look, a_panel, a_grid):
    """Two lesions, one of them with four prompts, a message, the tour, all sections open, on a small screen."""
    size = a_panel.window.size
    a_panel.window.resize(*SCREEN)
    logic, ui = a_panel.panel.logic, a_panel.panel.ui
    logic.segments.next()
    logic.prompts.addClick(center_of(a_grid, SECOND))
    rest(a_panel)
    logic.segments.next()
    for at in (FIRST, FIRST + 3):
        logic.prompts.addClick(center_of(a_grid, at))
    logic.prompts.addClick(center_of(a_grid, SECOND), positive=False)
    rest(a_panel)
    for section in SECTIONS:
        getattr(ui, section).collapsed = False
    a_panel.panel.message.show("A click on another image. Choose that one.", action=("Use it", lambda: None))
    a_panel.panel.tour.start()
    rest(a_panel)
    yield a_panel
    a_panel.window.resize(size)


LEAST_CONTRAST = 3.0


def in_looks(*looks):
    return pytest.mark.parametrize("a_look", looks, indirect=True, ids=lambda look: f"{look[0]} {look[1]}")


# What is cut depends on how large text is, and what stands out on the style's colors.
at_every_size = in_looks(("light", 1.0), ("dark", 1.5))
in_every_style = in_looks(("light", 1.0), ("dark", 1.0))


def shown(ui, *kinds):
    """The panel's widgets of these kinds that are seen, by name."""
    found = {name: widget for name, widget in vars(ui).items() if not name.startswith("qt_")}
    return {name: widget for name, widget in found.items() if isinstance(widget, kinds) and widget.visible}


def needed(widget):
    """The least size at which all of a widget's text is seen; of a selector's entry, a part is."""
    hint, least = (size() if callable(size) else size for size in (widget.sizeHint, widget.minimumSizeHint))
    if isinstance(widget, QtWidgets.QLabel) and widget.wordWrap:
        return QtCore.QSize(0, widget.heightForWidth(widget.width))
    if isinstance(widget, QtWidgets.QComboBox):
        return QtCore.QSize(least.width(), hint.height())
    return hint


@at_every_size
def test_no_label_button_or_field_is_cut(a_full_panel):
    ui = a_full_panel.panel.ui
    kinds = QtWidgets.QLabel, QtWidgets.QPushButton, QtWidgets.QToolButton, QtWidgets.QCheckBox
    widgets = shown(ui, *kinds, QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox)
    assert len(widgets) > 60
    for name, widget in widgets.items():
        size = needed(widget)
        assert widget.width >= size.width(), f"{name}: {widget.width} of {size.width()} px"
        assert widget.height >= size.height(), f"{name}: {widget.height} of {size.height()} px"


@at_every_size
def test_nothing_reaches_beyond_the_panel(a_full_panel):
    panel = a_full_panel.panel.parent
    assert panel.width <= panel.parent().width
    for name, widget in shown(a_full_panel.panel.ui, QtWidgets.QWidget).items():
        assert widget.mapTo(panel, QtCore.QPoint(widget.width, 0)).x() <= panel.width, name


@at_every_size
def test_no_cell_of_a_list_is_cut(a_full_panel):
    for name, table in shown(a_full_panel.panel.ui, QtWidgets.QTableWidget).items():
        margin = 2 * (table.style().pixelMetric(QtWidgets.QStyle.PM_FocusFrameHMargin, None, table) + 1)
        for row in range(table.rowCount):
            for column in range(table.columnCount):
                item, index = table.item(row, column), table.model().index(row, column)
                metrics = QtGui.QFontMetrics(item.font())
                wide = metrics.horizontalAdvance(item.text()) + margin if item.text() else 0
                assert table.visualRect(index).width() >= wide, f"{name}: {item.text()}"
                assert table.visualRect(index).height() >= metrics.height(), f"{name}: {item.text()}"


@in_every_style
def test_a_panel_of_400_pixels_is_wide_enough(a_full_panel):
    # Under Slicer's Qt 5 the same panel was wider by a fifth.
    assert 1.2 * a_full_panel.panel.layout.minimumSize().width() <= 400


def luminance(rgb):
    """The relative luminance of colors, (..., 3) in 0..255, as WCAG 2.1 defines it."""
    part = np.asarray(rgb, float) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


def contrast(one, other):
    """WCAG's ratio of two colors, 1 to 21."""
    brighter, darker = np.maximum(luminance(one), luminance(other)), np.minimum(luminance(one), luminance(other))
    return (brighter + 0.05) / (darker + 0.05)


def pixels_of(picture):
    """A QPixmap or QImage as (height, width, 4), red, green, blue and alpha in 0..255."""
    image = picture.toImage() if isinstance(picture, QtGui.QPixmap) else picture
    image = image.convertToFormat(QtGui.QImage.Format_RGBA8888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    return rows[:, : image.width()].copy()


def most_frequent(pixels):
    colors, counts = np.unique(pixels[..., :3].reshape(-1, 3), axis=0, return_counts=True)
    return colors[counts.argmax()]


def ground_of(button):
    """What a button is filled with where its icon lies; Qt fills it from light to dark."""
    icon = button.icon
    button.setIcon(QtGui.QIcon())
    middle, half = button.height // 2, button.iconSize.height() // 2
    pixels = pixels_of(button.grab())[middle - half : middle + half, 3:-3, :3]
    button.setIcon(icon)
    return np.median(pixels.reshape(-1, 3), axis=0)


def contrast_of_icon(icon, size, ground):
    """Half of an icon's pixels, drawn over a color, differ from it at least so much."""
    pixels = pixels_of(icon.pixmap(size)).astype(float)
    alpha = pixels[..., 3:] / 255
    drawn = pixels[..., :3] * alpha + ground * (1 - alpha)
    solid = alpha[..., 0] > 0.8
    assert solid.any()
    return np.median(contrast(drawn[solid], ground))


@in_every_style
def test_each_icon_stands_out_from_what_it_is_drawn_on(a_full_panel):
    assert_icons_stand_out(a_full_panel.panel.ui)


@pytest.mark.parametrize("a_look", [("light",), ("dark",)], indirect=True, ids=lambda look: look[0])
def test_icons_and_lists_follow_a_style_that_is_switched_while_the_panel_is_open(a_full_panel, a_look):
    from Host.styles import Look

    other = Look("dark" if a_look[0] == "light" else "light")
    try:
        rest(a_full_panel)
        ui = a_full_panel.panel.ui
        assert_icons_stand_out(ui)
        for table in (ui.segmentsTable, ui.promptsTable, ui.lesionsTable):
            text = table.item(0, 2).foreground().color().getRgb()[:3]
            assert contrast(text, most_frequent(pixels_of(table.viewport().grab()))) >= LEAST_CONTRAST
    finally:
        other.restore()


def assert_icons_stand_out(ui):
    seen = 0
    for name, button in shown(ui, QtWidgets.QAbstractButton).items():
        if button.enabled and not button.icon.isNull():
            seen += 1
            ratio = contrast_of_icon(button.icon, button.iconSize, ground_of(button))
            assert ratio >= LEAST_CONTRAST, f"{name}: {ratio:.2f}"
    for name, table in shown(ui, QtWidgets.QTableWidget).items():
        ground = most_frequent(pixels_of(table.viewport().grab()))
        for item in (table.item(row, column) for row in range(table.rowCount) for column in range(table.columnCount)):
            isColor = item.toolTip().startswith("Color,")  # the segment's own, whatever it is
            if not item.icon().isNull() and not isColor:
                seen += 1
                ratio = contrast_of_icon(item.icon(), QtCore.QSize(16, 16), ground)
                assert ratio >= LEAST_CONTRAST, f"{name}: {item.toolTip()}: {ratio:.2f}"
    assert seen > 30


@in_every_style
def test_each_text_stands_out_from_what_it_is_written_on(a_full_panel):
    ui, seen = a_full_panel.panel.ui, 0
    for name, widget in shown(ui, QtWidgets.QLabel, QtWidgets.QAbstractButton).items():
        if not widget.text or not widget.enabled:
            continue
        seen += 1
        ratio = contrast_of_text(widget)
        assert ratio >= LEAST_CONTRAST, f"{name}: {ratio:.2f}"
        if "<a " in widget.text:
            link = QtWidgets.QApplication.palette().color(QtGui.QPalette.Link).getRgb()[:3]
            assert contrast(link, most_frequent(pixels_of(widget.grab()))) >= LEAST_CONTRAST, name
    assert seen > 40


def contrast_of_text(widget):
    """Of the pixel that differs most from the ground; an icon beside the text is left out."""
    icon = widget.icon if isinstance(widget, QtWidgets.QAbstractButton) else None
    if icon is not None:
        widget.setIcon(QtGui.QIcon())
    pixels = pixels_of(widget.grab())[3:-3, 3:-3, :3]
    if icon is not None:
        widget.setIcon(icon)
    return contrast(pixels, most_frequent(pixels)).max()


@in_every_style
def test_the_words_of_an_empty_list_can_be_read(a_look, a_panel):
    table = a_panel.panel.ui.promptsTable
    item = next(table.item(0, column) for column in range(table.columnCount) if table.item(0, column).text())
    pixels = pixels_of(table.viewport().grab(table.visualItemRect(item)))
    assert contrast(pixels[..., :3], most_frequent(pixels)).max() >= LEAST_CONTRAST


@in_every_style
def test_a_row_that_follows_the_words_of_an_empty_list_is_not_gray(a_look, a_panel, a_grid):
    a_panel.panel.logic.prompts.addClick(center_of(a_grid, FIRST))
    rest(a_panel)
    table = a_panel.panel.ui.promptsTable
    assert table.item(0, 1).foreground().color() == table.palette.color(QtGui.QPalette.Text)
