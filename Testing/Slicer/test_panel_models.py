"""Getting a model's weights from the panel: after asking, with progress, stoppable, and told when it fails."""

import threading

import pytest
from support.panel_scenes import rest

slicer = pytest.importorskip("slicer", reason="slicer-core exists for Python 3.11 on 64-bit Linux")
QtWidgets = pytest.importorskip("PySide6.QtWidgets")


@pytest.fixture
def a_server(monkeypatch, tmp_path):
    """Stands for the network: gives a few bytes when it is released, and makes the model installed."""
    from inference_core.models import download, store

    monkeypatch.setenv(store.FOLDER_VARIABLE, str(tmp_path))
    server = threading.Event()
    server.asked, server.fails = [], None

    def fetch(spec, *, source=None, progress=lambda received, total: None):
        server.asked.append((spec.name, source))
        progress(100_000_000, 402_000_000)
        assert server.wait(20)
        progress(200_000_000, 402_000_000)
        if server.fails:
            raise server.fails
        (tmp_path / spec.checkpoint.filename).write_bytes(b"weights")

    monkeypatch.setattr(download, "download", fetch)
    yield server
    server.set()


@pytest.fixture
def a_panel_without_the_model(an_app, a_server):
    """SAM-Med3D is chosen, whose weights are not there, and its section is open."""
    an_app.panel.parameters.choose(model="sam_med3d")
    an_app.panel.ui.aboutSection.collapsed = False
    rest(an_app)
    an_app.app.setTestingEnabled(False)
    yield an_app
    an_app.app.setTestingEnabled(True)


def start(app):
    app.dialogs.answer("OK")
    app.pressButton(app.panel.ui.downloadModelButton)
    assert app.waitUntil(lambda: app.panel.ui.progressBar.visible)


def finish(app):
    assert app.waitUntil(lambda: not app.panel.installer.busy)
    rest(app)


def test_a_model_is_downloaded_after_its_license_was_shown(a_panel_without_the_model, a_server):
    app = a_panel_without_the_model
    start(app)
    (question,) = app.dialogs.seen
    for words in ("402 MB", "https://huggingface.co/", "Apache-2.0"):
        assert words in question.text
    assert app.panel.ui.progressBar.value == 25
    assert "100 MB" in app.panel.ui.statusLabel.text
    a_server.set()
    finish(app)
    assert a_server.asked == [("sam_med3d", None)]
    assert app.panel.ui.modelSelector.currentText == "SAM-Med3D turbo (installed)"
    assert not app.panel.ui.downloadModelButton.visible
    assert not app.panel.ui.progressBar.visible


def test_nothing_is_fetched_unless_the_user_agrees(a_panel_without_the_model, a_server):
    app = a_panel_without_the_model
    app.pressButton(app.panel.ui.downloadModelButton)
    assert len(app.dialogs.seen) == 1
    assert not app.panel.installer.busy
    assert a_server.asked == []


def test_a_download_can_be_stopped(a_panel_without_the_model, a_server):
    app = a_panel_without_the_model
    start(app)
    app.pressButton(app.panel.ui.stopButton)
    a_server.set()
    finish(app)
    assert "not installed" in app.panel.ui.modelSelector.currentText
    assert not app.panel.ui.messageFrame.visible


def test_a_failed_download_is_explained(a_panel_without_the_model, a_server):
    from inference_core.errors import DownloadError

    app = a_panel_without_the_model
    a_server.fails = DownloadError("There is no connection; try again.")
    a_server.set()
    app.dialogs.answer("OK")
    app.pressButton(app.panel.ui.downloadModelButton)
    finish(app)
    assert app.panel.ui.messageLabel.text == "There is no connection; try again."


def test_weights_are_installed_from_a_file(a_panel_without_the_model, a_server, monkeypatch, tmp_path):
    app = a_panel_without_the_model
    file = tmp_path / "downloaded.pth"
    monkeypatch.setattr(QtWidgets.QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    a_server.set()
    app.pressButton(app.panel.ui.installModelButton)
    finish(app)
    assert a_server.asked == [("sam_med3d", file)]
    assert app.panel.ui.modelSelector.currentText == "SAM-Med3D turbo (installed)"


def test_models_that_are_not_here_are_listed_when_they_are_asked_for(an_app, a_server):
    selector, logic = an_app.panel.ui.modelSelector, an_app.panel.logic
    rest(an_app)
    texts = [selector.itemText(n) for n in range(selector.count)]
    assert texts == ["SAM3D lite (built in)", "More models..."]
    selector.activated.emit(1)
    rest(an_app)
    assert selector.count > len(logic.options.models.all()), "all of them, and a line"
    assert selector.currentText == "SAM3D lite (built in)"
    selector.hidePopup()
    index = selector.findData("sam_med3d")
    selector.setCurrentIndex(index)
    selector.activated.emit(index)
    rest(an_app)
    assert logic.options.modelName == "sam_med3d"
