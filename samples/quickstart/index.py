"""The smallest useful function: it answers what it was sent, with a greeting."""

import json
import logging

logger = logging.getLogger()


def handler(event, context):
    """Greet ``{"name": …}``; anything that is not JSON is greeted as it came."""
    try:
        name = json.loads(event or b"{}").get("name", "world")
    except (ValueError, AttributeError):
        name = event.decode("utf-8", "replace")
    logger.info("greeting %s", name)
    print("memory limit:", context.function.memory, "MB")
    return {"greeting": "Hello, {}!".format(name), "requestId": context.request_id}
