"""THE table: every operation of the API, and which of them this version serves.

Source: API 2016-08-15, its documented operations. In a template ``{name}`` is one segment of the
path, decoded after splitting, and ``{rest}`` at the end is whatever follows. Everything that is
listed and not served answers 501 with its name; what is not listed is PathNotSupported.
"""

from dataclasses import dataclass
from urllib.parse import unquote

FAMILY = "2016-08-15"
LATER_FAMILIES = ("2021-04-06", "2023-03-30")
"""API families with paths of their own, none of which is served yet."""

ANY = "*"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row. ``served`` is False while the emulator only knows of it."""

    method: str
    template: tuple[str, ...]
    name: str
    served: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """The operation of a request and the decoded segments its template names."""

    operation: Operation
    values: dict[str, str]


def _row(method: str, template: str, name: str, *, served: bool = False) -> Operation:
    return Operation(method, tuple(template.strip("/").split("/")), name, served)


_FUNCTION = "/services/{service}/functions/{function}"
_TASKS = f"{_FUNCTION}/stateful-async-invocations"
_INSTANCES = f"{_FUNCTION}/instances"

INVOKE_FUNCTION = _row("POST", f"{_FUNCTION}/invocations", "InvokeFunction", served=True)

OPERATIONS: tuple[Operation, ...] = (
    INVOKE_FUNCTION,
    _row(ANY, "/proxy/{service}/{function}/{rest}", "HTTP trigger"),
    _row("GET", "/account-settings", "GetAccountSettings"),
    _row("GET", "/accountConfigs", "GetAccountConfigs"),
    _row("GET", "/tempBucketToken", "GetTempBucketToken"),
    _row("GET", "/services/{service}/tempCodeBucketToken", "GetTempCodeBucketToken"),
    _row("GET", "/reservedCapacities", "ListReservedCapacities"),
    _row("GET", "/reserved-capacities", "ListReservedCapacities"),
    _row("POST", "/services", "CreateService"),
    _row("GET", "/services", "ListServices"),
    _row("GET", "/services/{service}", "GetService"),
    _row("PUT", "/services/{service}", "UpdateService"),
    _row("DELETE", "/services/{service}", "DeleteService"),
    _row("POST", "/services/{service}/functions", "CreateFunction"),
    _row("GET", "/services/{service}/functions", "ListFunctions"),
    _row("GET", _FUNCTION, "GetFunction"),
    _row("PUT", _FUNCTION, "UpdateFunction"),
    _row("DELETE", _FUNCTION, "DeleteFunction"),
    _row("GET", f"{_FUNCTION}/code", "GetFunctionCode"),
    _row("POST", f"{_FUNCTION}/triggers", "CreateTrigger"),
    _row("GET", f"{_FUNCTION}/triggers", "ListTriggers"),
    _row("GET", f"{_FUNCTION}/triggers/{{trigger}}", "GetTrigger"),
    _row("PUT", f"{_FUNCTION}/triggers/{{trigger}}", "UpdateTrigger"),
    _row("DELETE", f"{_FUNCTION}/triggers/{{trigger}}", "DeleteTrigger"),
    _row("POST", "/services/{service}/versions", "PublishServiceVersion"),
    _row("GET", "/services/{service}/versions", "ListServiceVersions"),
    _row("DELETE", "/services/{service}/versions/{version}", "DeleteServiceVersion"),
    _row("POST", "/services/{service}/aliases", "CreateAlias"),
    _row("GET", "/services/{service}/aliases", "ListAliases"),
    _row("GET", "/services/{service}/aliases/{alias}", "GetAlias"),
    _row("PUT", "/services/{service}/aliases/{alias}", "UpdateAlias"),
    _row("DELETE", "/services/{service}/aliases/{alias}", "DeleteAlias"),
    _row("PUT", f"{_FUNCTION}/async-invoke-config", "PutFunctionAsyncInvokeConfig"),
    _row("GET", f"{_FUNCTION}/async-invoke-config", "GetFunctionAsyncInvokeConfig"),
    _row("DELETE", f"{_FUNCTION}/async-invoke-config", "DeleteFunctionAsyncInvokeConfig"),
    _row("GET", f"{_FUNCTION}/async-invoke-configs", "ListFunctionAsyncInvokeConfigs"),
    _row("GET", _TASKS, "ListStatefulAsyncInvocations"),
    _row("GET", f"{_TASKS}/{{task}}", "GetStatefulAsyncInvocation"),
    _row("PUT", f"{_TASKS}/{{task}}", "StopStatefulAsyncInvocation"),
    _row("GET", "/stateful-async-invocation-functions", "ListStatefulAsyncInvocationFunctions"),
    _row("POST", "/custom-domains", "CreateCustomDomain"),
    _row("GET", "/custom-domains", "ListCustomDomains"),
    _row("GET", "/custom-domains/{domain}", "GetCustomDomain"),
    _row("PUT", "/custom-domains/{domain}", "UpdateCustomDomain"),
    _row("DELETE", "/custom-domains/{domain}", "DeleteCustomDomain"),
    _row("POST", "/layers/{layer}/versions", "PublishLayerVersion"),
    _row("GET", "/layers", "ListLayers"),
    _row("GET", "/layers/{layer}/versions", "ListLayerVersions"),
    _row("GET", "/layers/{layer}/versions/{version}", "GetLayerVersion"),
    _row("POST", "/layers/{layer}/versions/{version}", "PutLayerACL"),
    _row("DELETE", "/layers/{layer}/versions/{version}", "DeleteLayerVersion"),
    _row("PUT", "/layers/{layer}/acl", "PutLayerACL"),
    _row("GET", "/layerarn/{arn}", "GetLayerVersionByArn"),
    _row("POST", "/adminlayers/{owner}/{layer}/versions/{version}", "DeleteLayerVersion"),
    _row("PUT", f"{_FUNCTION}/provision-config", "PutProvisionConfig"),
    _row("GET", f"{_FUNCTION}/provision-config", "GetProvisionConfig"),
    _row("GET", "/provision-configs", "ListProvisionConfigs"),
    _row("PUT", f"{_FUNCTION}/on-demand-config", "PutFunctionOnDemandConfig"),
    _row("GET", f"{_FUNCTION}/on-demand-config", "GetFunctionOnDemandConfig"),
    _row("DELETE", f"{_FUNCTION}/on-demand-config", "DeleteFunctionOnDemandConfig"),
    _row("GET", "/on-demand-configs", "ListOnDemandConfigs"),
    _row("POST", "/tag", "TagResource"),
    _row("GET", "/tag", "GetResourceTags"),
    _row("DELETE", "/tag", "UntagResource"),
    _row("PUT", "/tag", "UntagResource"),
    _row("GET", "/tags", "ListTaggedResources"),
    _row("GET", _INSTANCES, "ListInstances"),
    _row("GET", f"{_INSTANCES}/{{instance}}/exec", "InstanceExec"),
    _row("POST", "/services/{service}/binding", "CreateVpcBinding"),
    _row("POST", "/services/{service}/bindings", "CreateVpcBinding"),
    _row("GET", "/services/{service}/bindings", "ListVpcBindings"),
    _row("DELETE", "/services/{service}/binding", "DeleteVpcBinding"),
    _row("DELETE", "/services/{service}/bindings/{vpc}", "DeleteVpcBinding"),
)


def segments(path: str) -> list[str]:
    """Split a raw path; one doubled slash in front is tolerated, as the Java SDK sends it."""
    return path.removeprefix("/").removeprefix("/").split("/")


def find_operation(method: str, path: str) -> Match | None:
    """Give the operation of a raw path (no query), or None when the API has none."""
    family, *parts = segments(path)
    if family != FAMILY:
        return None
    for operation in OPERATIONS:
        if operation.method in (method, ANY):
            values = _values(operation.template, parts)
            if values is not None:
                return Match(operation, values)
    return None


def methods_of(path: str) -> list[str]:
    """Name the methods that some operation has on this path."""
    _, *parts = segments(path)
    return sorted(
        {
            operation.method
            for operation in OPERATIONS
            if _values(operation.template, parts) is not None
        }
    )


def _values(template: tuple[str, ...], parts: list[str]) -> dict[str, str] | None:
    """Hold a path against a template; the decoded segments where they fit."""
    if template[-1] == "{rest}":
        fixed = len(template) - 1
        if len(parts) < fixed:
            return None
        parts = [*parts[:fixed], "/".join(parts[fixed:])]
    if len(parts) != len(template):
        return None
    values: dict[str, str] = {}
    for word, part in zip(template, parts, strict=True):
        if word.startswith("{"):
            values[word[1:-1]] = unquote(part, errors="replace")
        elif word != part:
            return None
    return values
