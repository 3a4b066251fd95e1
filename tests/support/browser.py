"""Open a page in Chromium (Qt WebEngine) without a screen, and do what a person would.

    python browser.py PAGE STEPS

STEPS is a file with a JSON list. A step is ["js", CODE], ["click", X, Y], ["move", X, Y],
["drag", [X, Y], ...], ["size", WIDTH, HEIGHT], ["wait", MILLISECONDS] or ["downloads", FOLDER].
Printed is a JSON object: the values of the steps "js", and the errors of the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QPoint, Qt, QTimer, QUrl
from PyQt6.QtTest import QTest
from PyQt6.QtWebEngineCore import QWebEnginePage, QWebEngineProfile
from PyQt6.QtWebEngineWidgets import QWebEngineView
from PyQt6.QtWidgets import QApplication

results: list[Any] = []
errors: list[str] = []


class Page(QWebEnginePage):
    def javaScriptConsoleMessage(self, level: Any, message: str, line: int, source: str) -> None:
        if level == QWebEnginePage.JavaScriptConsoleMessageLevel.ErrorMessageLevel:
            errors.append(f"line {line}: {message}")


def steps(view: QWebEngineView, todo: list[list[Any]]) -> Generator[int]:
    """Do the steps; between them the browser runs for the yielded number of milliseconds."""
    while True:
        view.page().runJavaScript("document.documentElement.dataset.ready", results.append)
        yield 100
        if results and results.pop() == "yes":
            break
    for kind, *values in todo:
        target = view.focusProxy()
        if kind == "js":
            n = len(results)
            view.page().runJavaScript(values[0], results.append)
            while len(results) == n:
                yield 20
        elif kind == "size":
            view.resize(*values)
        elif kind == "downloads":
            view.page().profile().setDownloadPath(values[0])
            view.page().profile().downloadRequested.connect(lambda item: item.accept())
        elif kind == "wait":
            yield values[0]
        elif kind == "move":
            QTest.mouseMove(target, QPoint(*values))
        elif kind == "click":
            QTest.mouseClick(target, Qt.MouseButton.LeftButton, pos=QPoint(*values))
        elif kind == "drag":
            QTest.mousePress(target, Qt.MouseButton.LeftButton, pos=QPoint(*values[0]))
            for place in values[1:]:
                yield 60
                QTest.mouseMove(target, QPoint(*place))
            yield 60
            QTest.mouseRelease(target, Qt.MouseButton.LeftButton, pos=QPoint(*values[-1]))
        yield 250


def main() -> int:
    app = QApplication(sys.argv[:1])
    view = QWebEngineView()
    profile = QWebEngineProfile(app)  # keeps nothing on disk
    page = Page(profile, view)
    view.setPage(page)
    view.resize(1200, 900)
    view.show()
    running = steps(view, json.loads(Path(sys.argv[2]).read_text("utf-8")))

    def advance() -> None:
        try:
            QTimer.singleShot(next(running), advance)
        except StopIteration:
            print(json.dumps({"results": results, "errors": errors}))
            app.quit()

    page.loadFinished.connect(lambda well: advance())
    page.load(QUrl.fromLocalFile(str(Path(sys.argv[1]).resolve())))
    QTimer.singleShot(60_000, lambda: app.exit(1))
    code = app.exec()
    view.setPage(None)
    return code


if __name__ == "__main__":
    sys.exit(main())
