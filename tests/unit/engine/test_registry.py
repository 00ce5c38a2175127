"""Functions by name: what a caller's words lead to."""

import pytest

from emulator.core.errors import ApiError, ErrorCode
from emulator.core.refs import FunctionRef
from emulator.engine.registry import Registry, find
from tests.support.fakes import a_deployment, a_function


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.add(a_deployment(a_function("hello")))
    registry.add(a_deployment(a_function("other")))
    return registry


@pytest.mark.parametrize("service", ["default", "whatever", "svc"])
def test_function_without_a_service_is_found_under_any(registry: Registry, service: str):
    """Programs written for 2.0 paths name some service."""
    target = registry.resolve(FunctionRef(service, "hello"))

    assert target.function.function_name == "hello"
    assert target.ref == FunctionRef(service, "hello")


@pytest.mark.parametrize(
    ("ref", "code", "message"),
    [
        (
            FunctionRef("svc", "gone"),
            ErrorCode.FUNCTION_NOT_FOUND,
            "function 'gone' does not exist in service 'svc'",
        ),
        (
            FunctionRef("svc", "hello", "1"),
            ErrorCode.VERSION_NOT_FOUND,
            "version '1' of service 'svc' does not exist",
        ),
        (
            FunctionRef("svc", "hello", "prod"),
            ErrorCode.ALIAS_NOT_FOUND,
            "alias 'prod' of service 'svc' does not exist",
        ),
    ],
)
def test_what_is_not_there_is_named(
    registry: Registry, ref: FunctionRef, code: ErrorCode, message: str
):
    with pytest.raises(ApiError) as refusal:
        registry.resolve(ref)

    assert (refusal.value.code, refusal.value.message) == (code, message)


def test_qualifier_is_looked_up_before_the_function(registry: Registry):
    with pytest.raises(ApiError) as refusal:
        registry.resolve(FunctionRef("svc", "gone", "prod"))

    assert refusal.value.code is ErrorCode.ALIAS_NOT_FOUND


def test_service_is_looked_up_first():
    with pytest.raises(ApiError) as refusal:
        Registry().resolve(FunctionRef("svc", "gone", "prod"))

    assert refusal.value.code is ErrorCode.SERVICE_NOT_FOUND
    assert refusal.value.message == "service 'svc' does not exist"


def test_default_service_is_always_there():
    with pytest.raises(ApiError) as refusal:
        Registry().resolve(FunctionRef("default", "hello"))

    assert refusal.value.code is ErrorCode.FUNCTION_NOT_FOUND


def test_functions_are_given_in_the_order_of_their_arrival(registry: Registry):
    assert [d.function.id for d in registry.deployments()] == ["hello", "other"]


def test_id_is_given_once(registry: Registry):
    with pytest.raises(ValueError, match="hello exists already"):
        registry.add(a_deployment(a_function("hello")))


@pytest.mark.parametrize(
    ("function_id", "found"),
    [("hello", "hello"), ("default/other", "other"), ("svc/hello", "hello"), ("gone", None)],
)
def test_function_is_found_by_its_id(registry: Registry, function_id: str, found: str | None):
    deployment = find(registry, function_id)

    assert (deployment.function.id if deployment else None) == found
