"""Every notebook runs from top to bottom, headless, in a kernel of this interpreter."""

import base64
import re
import warnings
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "experiments" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(path):
    import nbformat

    return nbformat.read(path, as_version=4)


def execute(notebook, folder):
    """Run the cells; nbclient, Jupyter and zmq warn on their own account, so they may here."""
    from nbclient import NotebookClient

    resources = {"metadata": {"path": str(folder)}}
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    return notebook


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def content(notebook, kind):
    """Give every output of a MIME type, in order."""
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


def test_there_are_notebooks():
    assert "track_a_clip.ipynb" in [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_without_outputs(path):
    cells = code(read(path))
    assert [cell.outputs for cell in cells] == [[]] * len(cells)
    assert {cell.execution_count for cell in cells} == {None}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_to_its_end(path):
    before = sorted(FOLDER.iterdir())
    notebook = execute(read(path), FOLDER)
    cells = code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sorted(FOLDER.iterdir()) == before
    if path.stem == "track_a_clip":
        assert len(content(notebook, "image/png")) == 3
        films = re.findall(
            r"data:video/mp4;base64,([^\"]+)", "".join(cells[-1].outputs[0].data["text/html"])
        )
        film = base64.b64decode(films[0], validate=False)
        assert film[4:8] == b"ftyp"
        assert film.find(b"moov") < film.find(b"mdat")
        assert len(film) > 100_000
