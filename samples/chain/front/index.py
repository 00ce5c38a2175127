"""Invokes another function with the SDK, synchronously and asynchronously."""

import os

import fc2


def handler(event, context):
    """Send the event to ``back``; answer what came back, and the id of the call that runs later."""
    client = fc2.Client(
        endpoint=os.environ["FC_EMU_ENDPOINT"],
        accessKeyID=context.credentials.access_key_id or "any",
        accessKeySecret=context.credentials.access_key_secret or "any",
    )
    answer = client.invoke_function("default", "back", payload=event)
    later = client.invoke_function(
        "default", "back", payload=b"later", headers={"x-fc-invocation-type": "Async"}
    )
    return {"answer": answer.data.decode("utf-8"), "later": later.headers["x-fc-request-id"]}
