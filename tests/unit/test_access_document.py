"""docs/access.md shows the tries that the tests make, all of them and as they are."""

from tests.access_document import PATH, document


def test_the_document_is_the_table_of_the_tries() -> None:
    assert PATH.read_text() == document(), "write it anew: .venv/bin/python -m tests.access_document"
