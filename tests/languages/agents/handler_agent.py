"""A `caxton:agent/handler` agent."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import metrics
from wit_world.imports.types import Failure_Invalid, Message


class Handler(exports.Handler):
    def handle(self, request: Message) -> Message:
        text = request.body.decode()
        if text == "throw":
            return broken(request)
        if text == "refuse":
            raise Err(Failure_Invalid("not this one"))
        metrics.add("messages", 1)
        told = dict(request.metadata).get("x-tell", "nothing")
        return Message("text/plain", f"python: {text}".encode(), [("x-was-told", told)])


def broken(request):
    return request.nothing.at.all
