"""The agent `{{name}}`: answers HTTP requests (`wasi:http/incoming-handler` 0.2). The modules under `wit_world` are made from
wit/world.wit.
"""

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        path = request.path_with_query() or "/"
        # What is printed is shown by `caxton dev`.
        print(f"a request for {path}")
        answer(response_out, f"hello, this is {{name}} at {path}\n")


def answer(out: ResponseOutparam, text: str) -> None:
    """Sends a text with status 200."""
    headers = Fields.from_list([("content-type", b"text/plain; charset=utf-8")])
    response = OutgoingResponse(headers)
    body = response.body()
    ResponseOutparam.set(out, Ok(response))
    data = text.encode()
    with body.write() as stream:
        # 4096 bytes are what a stream takes at once.
        for at in range(0, len(data), 4096):
            stream.blocking_write_and_flush(data[at : at + 4096])
    OutgoingBody.finish(body, None)
