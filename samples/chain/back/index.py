"""Answers in capitals."""


def handler(event, context):
    """Say what came, and under which request id."""
    print("back was sent", event.decode("utf-8"), "as", context.request_id)
    return event.decode("utf-8").upper()
