"""Finding a page by its name."""

import pytest

from greenopt.docs import find_page, list_pages
from greenopt.errors import UsageError


@pytest.mark.parametrize("name", ["study-file", "study-file.md", "Study file", " STUDY-FILE "])
def test_a_page_is_found_as_people_write_it(name: str) -> None:
    assert find_page(name).name == "study-file"


@pytest.mark.parametrize("name", ["../../README", "/etc/passwd", "nothing-like-it", ""])
def test_nothing_but_a_page_is_found(name: str) -> None:
    with pytest.raises(UsageError, match="there is no such page"):
        find_page(name)


def test_pages_have_titles_and_summaries() -> None:
    for page in list_pages():
        assert page.title
        assert page.summary
        assert page.path.is_file()


def test_a_name_like_none_gets_all_names() -> None:
    with pytest.raises(UsageError, match="there are index, tutorial, faq, "):
        find_page("xyzzy")
