"""A model is its user's, whatever package trained it."""

from __future__ import annotations

import pytest

from k4calofast.exceptions import SteeringError
from k4calofast.training import authorship


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Git's settings of a user, who has none yet and is in no repository."""
    file = tmp_path / "gitconfig"
    file.touch()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("LOGNAME", "someone")
    monkeypatch.chdir(tmp_path)
    return file


def test_the_author_is_who_git_knows_or_who_has_logged_in(git, monkeypatch):
    assert authorship.author() == "someone"
    git.write_text("[user]\n\tname = Ada  Lovelace\n")
    assert authorship.Authorship() == authorship.Authorship(
        author="Ada Lovelace", licence="unspecified", version="0.1.0"
    )
    monkeypatch.setenv("PATH", "")
    assert authorship.author() == "someone"


@pytest.mark.usefixtures("git")
def test_what_a_user_says_is_kept_and_the_rest_is_left_to_defaults():
    whose = authorship.given(None, "CC-BY-4.0", None)
    assert (whose.author, whose.licence, whose.version) == ("someone", "CC-BY-4.0", "0.1.0")
    assert whose.stated() == {"licence": "CC-BY-4.0"}
    with pytest.raises(SteeringError, match="author: Value error, must be one line"):
        authorship.given("two\nlines", None, None)
