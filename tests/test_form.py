"""What is tested: the sources as they are, or their compiled form; the build says which it meant."""

from __future__ import annotations

import importlib
import os
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPILED = runpy.run_path(str(ROOT / "setup.py"))["COMPILED"]
FORM = os.environ.get("MAILSPY_FORM", "")


@pytest.mark.skipif(not FORM, reason="MAILSPY_FORM does not say which form is meant")
@pytest.mark.parametrize("path", [f"{folder}/{name}" for folder, names in COMPILED.items() for name in names])
def test_the_form_that_is_meant_is_the_one_that_runs(path: str) -> None:
    module = importlib.import_module(path.removeprefix("plugins/").replace("/", "."))
    assert Path(str(module.__file__)).suffix == {"compiled": ".so", "pure": ".py"}[FORM]
