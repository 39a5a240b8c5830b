"""`slicer.app` and its main window: what a module's panel asks of Slicer's application, on top of the booted scene."""

from __future__ import annotations

import sys
import tempfile
import types

import slicer
from PySide6 import QtCore, QtWidgets

from Host.dialogs import DialogWatcher
from Host.dicomdatabase import DicomDatabase
from Host.fileio import CoreIOManager
from Host.mainwindow import MainWindow
from Host.qtmodule import installQt
from Host.scene import bootScene

DOCUMENTATION_URL = "https://slicer.readthedocs.io/en/latest/"


class Application(QtCore.QObject):
    """Slicer's application object. `testing` is what `testingEnabled()` answers: True skips message boxes."""

    startupCompleted = QtCore.Signal()
    aboutToQuit = QtCore.Signal()
    applicationName, majorVersion, minorVersion, revision, arch, os = "Slicer", 5, 12, "0", "amd64", "linux"
    applicationVersion = "5.12.4 (host for tests)"
    documentationBaseUrl = DOCUMENTATION_URL
    slicerHome = extensionsInstallPath = ""

    def __init__(self, qApplication, headless, *, testing):
        super().__init__()
        self._qApplication = qApplication
        self._headless = headless
        self._testing = testing
        self._io = CoreIOManager()
        self._moduleManager = None
        self._mainWindow = None
        self._dialogs = DialogWatcher()
        qApplication.aboutToQuit.connect(self.aboutToQuit)

    temporaryPath = property(lambda self: self._headless.temporaryPath)

    def setTestingEnabled(self, isTesting):
        """Not in Slicer: a test of a message box turns testing off."""
        self._testing = isTesting

    def testingEnabled(self):
        return self._testing

    def commandOptions(self):
        return types.SimpleNamespace(testingEnabled=self._testing, noMainWindow=False)

    def dialogs(self):
        """Not in Slicer: the watcher of modal dialogs."""
        return self._dialogs

    def mrmlScene(self):
        return self._headless.mrmlScene()

    def applicationLogic(self):
        return self._headless.applicationLogic()

    def pauseRender(self):
        self._headless.pauseRender()

    def resumeRender(self):
        self._headless.resumeRender()

    def coreIOManager(self):
        return self._io

    ioManager = coreIOManager

    def layoutManager(self):
        return self._mainWindow.layoutManager()

    def moduleManager(self):
        return self._moduleManager

    def mainWindow(self):
        """Not in Slicer, where `slicer.util.mainWindow()` finds it among the top-level widgets, as it does here."""
        return self._mainWindow

    def topLevelWidgets(self):
        return self._qApplication.topLevelWidgets()

    def settings(self):
        return QtCore.QSettings()

    userSettings = revisionUserSettings = settings

    def run(self):
        """Not in Slicer: turn the event loop until the window is closed."""
        return self._qApplication.exec()

    def processEvents(self, *_):
        self._qApplication.processEvents()

    def translate(self, _context, text):
        return text

    def moduleDocumentationUrl(self, moduleName):
        return self.documentationBaseUrl + moduleName

    def setOverrideCursor(self, cursor):
        self._qApplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self):
        self._qApplication.restoreOverrideCursor()

    def restart(self):
        """The host is not restarted."""


def startApplication(*, testing=True, size=(1280, 860)):
    """Make scene, application, views and main window once a process; later calls return the same `slicer.app`."""
    if isinstance(getattr(slicer, "app", None), Application):
        return slicer.app
    qApplication = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
    QtCore.qInstallMessageHandler(_onQtMessage)
    _keepSettingsApart(qApplication)
    bootScene()
    installQt()
    slicer.dicomDatabase = DicomDatabase()
    slicer.app = Application(qApplication, slicer.app, testing=testing)
    _addWidgetsAndModules()
    slicer.app._mainWindow = MainWindow(size)
    slicer.app._mainWindow.show()
    slicer.app.processEvents()
    return slicer.app


def _onQtMessage(_kind, _context, message):
    if "propagateSizeHints" not in message:  # the offscreen platform's own grumble
        sys.stderr.write(f"{message}\n")


def _keepSettingsApart(qApplication):
    """The user's own Slicer settings are neither read nor written."""
    qApplication.setOrganizationName("SAM3DSegment")
    qApplication.setApplicationName("Host")
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
    folder = tempfile.mkdtemp(prefix="slicer-host-settings-")
    QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, folder)


def _addWidgetsAndModules():
    """Imported late: they derive from classes that exist once Qt has been changed."""
    from Host import ctkwidgets, mrmlwidgets, terminologywidgets  # noqa: F401  registered by being imported
    from Host.modules import ModuleManager
    from Host.pythonqt import behaveAsPythonQt

    behaveAsPythonQt()
    slicer.app._moduleManager = ModuleManager()
