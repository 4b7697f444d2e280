import pytest

from siamjax.evaluate import resume


class Kept:
    """Answers kept in memory, and what was done with them."""

    def __init__(self, answers=None):
        self.answers, self.runs, self.told = answers, 0, []

    def run(self):
        self.runs += 1
        return [1, 2, 3]

    def save(self, answers):
        self.answers = answers

    def once(self, files=True):
        found = resume.Files(lambda: self.answers, self.save) if files else None
        return resume.once("one", 3, self.run, found, lambda *event: self.told.append(event))


def test_a_run_is_made_once():
    kept = Kept()
    assert kept.once() == [1, 2, 3]
    assert (kept.runs, kept.told, kept.answers) == (1, [], [1, 2, 3])
    assert kept.once() == [1, 2, 3]
    assert (kept.runs, kept.told) == (1, [("one", 3, 3)])


def test_an_empty_answer_is_an_answer():
    kept = Kept(answers=[])
    assert kept.once() == []
    assert (kept.runs, kept.told) == (0, [("one", 3, 3)])


def test_without_files_nothing_is_kept():
    kept = Kept()
    assert kept.once(files=False) == kept.once(files=False) == [1, 2, 3]
    assert (kept.runs, kept.told, kept.answers) == (2, [], None)


def test_a_run_that_fails_is_not_kept(tmp_path):
    files = resume.sealed(tmp_path, "one.baseline", tmp_path / "one.txt", "key")

    def run():
        (tmp_path / "one.txt").write_text("half")
        raise ValueError("one: ends before frame 2 of 3")

    with pytest.raises(ValueError, match="ends before frame 2 of 3"):
        resume.once("one", 3, run, files)
    assert files.load() is None


def test_sealed_files_are_the_ones_that_were_written(tmp_path):
    path = tmp_path / "results" / "one.txt"
    path.parent.mkdir()
    files = resume.sealed(tmp_path, "one.baseline", path, "key")
    assert files.load() is None
    path.write_text("1\n")
    files.save({"seconds": 0.25})
    assert (tmp_path / "timing" / "one.baseline.seal.json").is_file()
    assert files.load() == {"seconds": 0.25}
    assert resume.sealed(tmp_path, "one.baseline", path, "another key").load() is None
    path.write_text("2\n")
    assert files.load() is None
