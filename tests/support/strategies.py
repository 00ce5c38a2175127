"""What Hypothesis makes up: names, and the pieces in which bytes may arrive."""

from hypothesis import strategies as st

LETTERS = "ABCXYZabcxyz_"
REST = LETTERS + "0189-"


def names() -> st.SearchStrategy[str]:
    """Names that a service, an alias or a function may have."""
    return st.builds(
        str.__add__, st.sampled_from(LETTERS), st.text(st.sampled_from(REST), max_size=127)
    )


def function_names() -> st.SearchStrategy[str]:
    """Names that a function may have; those that were moved from 2.0 to 3.0 have a ``$``."""
    return st.builds(
        str.__add__, st.sampled_from(LETTERS), st.text(st.sampled_from(REST + "$"), max_size=127)
    )


def cuts(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """All ways in which ``data`` may arrive, piece by piece."""
    places = st.lists(st.integers(0, len(data)), max_size=8).map(sorted)
    return places.map(
        lambda at: [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]
    )
