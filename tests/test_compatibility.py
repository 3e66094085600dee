"""docs/compatibility.md says which of torch's names there are."""

import compatibility


def test_the_page_is_up_to_date():
    assert compatibility.PAGE.read_text() == compatibility.page(), "write it anew: python -m tests.compatibility"
