"""The path in a request line."""


def raw_path(target: str) -> str:
    """Give the path of a request target, still escaped, without query.

    A target is a path, a whole URL (as to a proxy), ``*`` or an authority (CONNECT).
    """
    target = target.partition("?")[0]
    if target.lower().startswith(("http://", "https://")):
        _, _, behind = target.partition("://")
        _, slash, path = behind.partition("/")
        return slash + path or "/"
    return target
