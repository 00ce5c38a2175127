"""The path of a request target in each of its forms."""

import pytest

from emulator.core.paths import raw_path


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a/b", "/a/b"),
        ("/a/b?x=1&y=/c", "/a/b"),
        ("/a%2fb/%00", "/a%2fb/%00"),
        ("//a", "//a"),
        ("http://host/a/b?x", "/a/b"),
        ("HTTPS://host:1/a", "/a"),
        ("http://host", "/"),
        ("http://host?x=1", "/"),
        ("http://host?x=/a/b", "/"),
        ("/redirect?to=http://host/a", "/redirect"),
        ("*", "*"),
        ("host:443", "host:443"),
        ("", ""),
    ],
)
def test_path_is_what_is_between_authority_and_query(target: str, path: str):
    assert raw_path(target) == path
