"""A judge's reply is read strictly: a rating from 1 to 3 that is the judge's last word, or nothing."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.judging.reading import read_rating

READ = {
    "Rating: [[2]]": 2,
    "It is accurate but shallow.\n\nRating: [[3]]": 3,
    "**Rating: [[2]]**": 2,
    "“Rating: [[1]]”.": 1,
    "[[ 2 ]]": 2,
    "Rating: [[2]]/3": 2,
    "2": 2,
    "**2**": 2,
    "2/3": 2,
    "Good.\n2 out of 3.": 2,
    "Rating: 2": 2,
    "rating: 1.": 1,
    "**Rating:** 2/3": 2,
    "Rating (1-3): 2": 2,
    "The response is short. My final rating is 3.": 3,
    "Short, but right. Rating: [[2]] because the steps are missing.": 2,
    "Depth: [[3]]\nOverall rating: [[2]]": 2,
    "The assistant claims [[3]].\nRating: [[1]]": 1,
    "The answer says “Rating: [[3]]” of itself. Rating: [[1]]": 1,
    "strictly following this format, for example: “Rating: [[2]]”.\nRating: [[1]]": 1,
    "I give [[2]]. As I said: [[2]]": 2,
}

UNREAD = [
    "",
    "A fine answer.",
    "[[4]]",
    "[[0]]",
    "[[-1]]",
    "[[2.5]]",
    "[[two]]",
    "[[rating]]",
    "[[1-3]]",
    "[[٢]]",
    "²",
    "23",
    "2.5",
    ".2",
    "-2",
    "2%",
    "7",
    "Good.\n2/30",
    "Rating: 2/5",
    "Rating: [[2]]/5",
    "Rating: 2 out of five",
    "Rating: 2.5x",
    "Rating: 23",
    "Rating: 2nd",
    "Rating: -2",
    "Rating: 2-3",
    "Rating: 1, 2 or 3",
    "Rating: 2 to three",
    "Rating: [[1]] or [[2]]",
    "[[1]], [[2]] or [[3]]",
    "Rating: [[2]] [[3]]",
    "A [[2]] for depth and a [[3]] for accuracy is what it gets from me",
    "Depth rating: [[3]]\nQuality rating: [[2]]",
    "Rating:\n1. It is accurate\n2. It is deep, all told",
    "The score is 3",
    "the film's rating is 3, as he found",
    "The answer says “Rating: [[3]]” of itself.",
    "strictly following this format, for example: “Rating: [[2]]”.",
]


@pytest.mark.parametrize(("reply", "rating"), READ.items())
def test_a_rating_is_read(reply: str, rating: int) -> None:
    assert read_rating(reply) == rating


@pytest.mark.parametrize("reply", UNREAD)
def test_what_is_no_rating_is_not_guessed(reply: str) -> None:
    assert read_rating(reply) is None


def test_a_reply_cut_off_does_not_end_with_its_last_word() -> None:
    assert read_rating("Rating: [[2]]", truncated=True) is None
    assert read_rating("2", truncated=True) is None
    assert read_rating("Rating: [[2]]\nNow, to say more about", truncated=True) == 2
    assert read_rating("Not a [[1]] but a [[2]], because it", truncated=True) is None


WORDS = st.sampled_from(
    ["Rating:", "rating is", "\n", " ", ".", "“", "”", '"', "*", "/", "-", "%", "or", "out of", "for example:", "good"]
)
MARKS = st.sampled_from(
    ["[[", "]]", "[", "0", "1", "2", "3", "4", "10", "2.5", "1/3", "3/5", "[[1]]", "[[2]]", "[[3]]", "[[4]]", "٣"]
)
PIECES = WORDS | MARKS
REPLIES = st.lists(PIECES, max_size=12).map("".join) | st.lists(PIECES, max_size=12).map(" ".join) | st.text()


@given(REPLIES, st.booleans())
def test_nothing_but_a_whole_1_2_or_3_that_stands_there_is_ever_read(reply: str, truncated: bool) -> None:
    rating = read_rating(reply, truncated=truncated)
    assert rating in (None, 1, 2, 3)
    if rating is not None:
        assert re.search(rf"(?<![0-9.,+−-]){rating}(?![0-9])", reply)


@given(REPLIES)
def test_without_a_1_2_or_3_nothing_is_read(reply: str) -> None:
    assert read_rating(re.sub("[123]", "7", reply)) is None


@given(REPLIES, st.sampled_from([1, 2, 3]))
def test_whatever_stands_before_it_the_last_line_asked_for_counts(reply: str, rating: int) -> None:
    assert read_rating(f"{reply}\nRating: [[{rating}]]") == rating


@given(st.permutations([1, 2, 3]), st.sampled_from([" and ", ", ", " or ", " ", "/"]))
def test_several_ratings_in_a_row_are_none(ratings: list[int], between: str) -> None:
    assert read_rating("It is " + between.join(f"[[{one}]]" for one in ratings)) is None


@pytest.mark.parametrize(
    "reply",
    [
        "rating" + " " * 100_000, "[[" * 100_000, "rating: 2 " * 20_000, '"[[1]]" ' * 20_000, "1" * 100_000 + "x",
        "*" * 100_000, ". " * 100_000 + "[[1]] [[2]]",
    ],
)  # fmt: skip
def test_a_hostile_reply_costs_no_more_than_its_length(reply: str) -> None:
    start = time.process_time()
    read_rating(reply)
    read_rating(reply, truncated=True)
    assert time.process_time() - start < 2
