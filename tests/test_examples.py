"""Every public function shows an example, and the answer it shows is the one it gives."""

from __future__ import annotations

import doctest
import importlib
import inspect

import cv2
import pytest

ROOMS = [
    *("images", "datasets", "segment", "extract", "networks", "pipelines"),
    *("evaluate", "report", "recipes", "testing"),
]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
OPENCV = int(cv2.__version__.split(".")[0])


class AnyAnswer(doctest.OutputChecker):
    """Accept any answer, as OpenCV 4 draws cells with slightly other pixels."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return True


def public() -> list[str]:
    found = []
    for name in ROOMS:
        module = importlib.import_module(f"hemafeat.{name}")
        names = getattr(module, "__all__", None) or [
            key
            for key, thing in vars(module).items()
            if getattr(thing, "__module__", "") == module.__name__ and not key.startswith("_")
        ]
        found += [f"{name}.{key}" for key in sorted(names)]
    return found


def marked(name: str):
    return pytest.param(name, marks=pytest.mark.networks if name.startswith("networks.") else [])


def thing_of(name: str) -> object:
    room, _, short = name.partition(".")
    return getattr(importlib.import_module(f"hemafeat.{room}"), short)


NEEDED = {
    "extract.to_anndata": "anndata",
    "extract.to_spatialdata": "spatialdata",
    "pipelines.explain": "shap",
}
"""Optional package that an example needs."""


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("name", [marked(name) for name in public()])
def test_example(name, tmp_path, monkeypatch):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    thing = thing_of(name)
    if not (inspect.isroutine(thing) or inspect.isclass(thing)):
        return  # a constant
    text = inspect.getdoc(thing) or ""
    if inspect.isclass(thing) and issubclass(thing, Exception | Warning):
        return
    examples = doctest.DocTestParser().get_examples(text)
    if inspect.isroutine(thing):
        assert examples, f"{name} has no example"
    if not examples:
        return
    assert not any(doctest.SKIP in example.options for example in examples), "it is not run"
    monkeypatch.chdir(tmp_path)
    case = doctest.DocTest(
        examples,
        {},
        name,
        inspect.getsourcefile(inspect.unwrap(thing)) if inspect.isroutine(thing) else name,
        0,
        text,
    )
    said: list[str] = []
    draws = any("draw" in example.source for example in examples)
    checker = AnyAnswer() if draws and OPENCV < 5 else doctest.OutputChecker()
    runner = doctest.DocTestRunner(checker, optionflags=FLAGS, verbose=False)
    runner.run(case, out=said.append)
    if any("needs Keras 3" in line for line in said):
        pytest.skip("the extra 'deep' is not installed")
    assert not runner.failures, "".join(said)
