"""What `import k4calofast` gives, and what it costs."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys

import pytest

import k4calofast


def test_importing_the_package_loads_nothing_that_it_does_not_need():
    code = (
        "import sys, k4calofast; print(k4calofast.__version__);"
        "print([name for name in sys.modules if name.startswith(('awkward', 'numpy', 'pydantic'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[1] == "[]"


def test_help_begins_with_an_example_and_tells_of_both_functions():
    text = pydoc.plain(pydoc.render_doc(k4calofast))
    assert text.index(">>> events = k4calofast.simulate(") < 500
    for function in (k4calofast.simulate, k4calofast.open):
        assert function.__name__ in dir(k4calofast)
        assert inspect.getdoc(function).splitlines()[0] in text
    assert "theta, phi" in text
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        _ = k4calofast.simulat
