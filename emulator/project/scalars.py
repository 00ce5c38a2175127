"""Plain scalars by the rules of YAML 1.2 core, and values as JavaScript prints them."""

import math
import re
from decimal import Decimal

Scalar = bool | int | float | str | None

MAX_EXACT = 2**53
"""Whole numbers beyond it lose digits in JavaScript, which is what the vendor's tools run on."""

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NAN = re.compile(r"\.(?:nan|NaN|NAN)")

_LONGEST_PLAIN_NUMBER = 21
"""Digits before JavaScript turns to an exponent. Source: ECMAScript, Number::toString."""
_MOST_LEADING_ZEROS = 6
"""The same for numbers below one."""


def plain_value(text: str) -> Scalar:
    """Give the value of a scalar written without quotes.

    There is one kind of number: a whole one that JavaScript keeps exactly is an int, every other
    one a float. Source: YAML 1.2, section 10.3.2.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _DECIMAL.fullmatch(text):
        return _number(float(text))
    if _OCTAL_OR_HEX.fullmatch(text):
        whole = int(text, 0)
        return whole if whole <= MAX_EXACT else _nearest(whole)
    if sign := _INFINITY.fullmatch(text):
        return float(f"{sign[1]}inf")
    return math.nan if _NAN.fullmatch(text) else text


def js_text(value: Scalar) -> str:
    """Print a value the way JavaScript does: ``true``, ``null``, ``1`` for 1.0."""
    match value:
        case str():
            return value
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float_text(value)


def _number(value: float) -> int | float:
    return int(value) if value.is_integer() and abs(value) <= MAX_EXACT else value


def _nearest(whole: int) -> float:
    try:
        return float(whole)
    except OverflowError:
        return math.inf


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    sign = "-" if value < 0 else ""
    return sign + _digits_text(Decimal(repr(abs(value))))


def _digits_text(number: Decimal) -> str:
    """Write a number that is not negative; ``point`` is n in ECMAScript, Number::toString."""
    parts = number.normalize().as_tuple()
    digits = "".join(map(str, parts.digits))
    point = len(digits) + int(parts.exponent)
    if len(digits) <= point <= _LONGEST_PLAIN_NUMBER:
        return digits.ljust(point, "0")
    if 0 < point <= _LONGEST_PLAIN_NUMBER:
        return f"{digits[:point]}.{digits[point:]}"
    if -_MOST_LEADING_ZEROS < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"
