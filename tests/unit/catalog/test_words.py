"""What text search compares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.catalog.words import query_words, stored_words, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Red Shoe", "red shoe"),
        ("photographs/red_shoe-2.JPG", "photographs red shoe 2 jpg"),
        ("Crème Brûlée", "creme brulee"),
        ("Cre\u0300me", "creme"),
        ("Straße", "strasse"),
        ("Rødgrød", "rodgrod"),
        ("Łódź", "lodz"),
        ("İstanbul", "istanbul"),
        ("ﬁne", "fine"),
        ("Йод", "иод"),
        ("東京タワー", "東 京 タ ワ ー"),
        ("हिन्दी", "हिनदी"),
        ('a\' OR "b"* NEAR(c)', "a or b near c"),
        ("x\0y\udcffz", "x y z"),
        ("!?%_", ""),
        ("red RED Réd", "red"),
    ],
)
def test_words_are_folded(text: str, words: str) -> None:
    assert stored_words([text]) == words


def test_a_word_that_is_too_long_is_cut_in_the_text_and_in_the_query_alike() -> None:
    assert words_of(["x" * 1000]) == query_words("x" * 1000) == ("x" * 100,)


def test_a_text_without_end_is_cut_between_words() -> None:
    stored = stored_words([" ".join(f"word{number}" for number in range(50_000))])
    assert len(stored) <= 100_000
    assert stored.rpartition(" ")[2].startswith("word")


def test_a_query_without_end_is_cut() -> None:
    assert len(query_words(" ".join(map(str, range(10_000))))) == 20


@given(st.text())
def test_words_hold_nothing_that_a_database_would_read_as_more_than_a_word(text: str) -> None:
    for word in words_of([text]):
        assert not set(word) & set("'\"*&|!():^ \0\\<>-+{}")
        assert word.encode()


@given(st.text())
def test_folding_what_is_folded_changes_nothing(text: str) -> None:
    assert words_of(words_of([text])) == words_of([text])
