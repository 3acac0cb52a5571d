"""An HTTP agent as componentize-py has them: a class for `wasi:http/incoming-handler`."""

import sys

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.streams import StreamError_Closed
from componentize_py_types import Err
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    Method_Get,
    Method_Post,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

METHODS = {Method_Get: "GET", Method_Post: "POST"}


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam):
        path = (request.path_with_query() or "/").split("?")[0]
        if path == "/throw":
            broken(request)
        if path == "/echo":
            told = request.headers().get("x-tell")
            headers = {
                "x-method": METHODS.get(type(request.method()), "other").encode(),
                "x-was-told": told[0] if told else b"nothing",
            }
            reply(response_out, headers, read(request))
        else:
            reply(response_out, {"content-type": b"text/plain"}, f"python {path}\n".encode())


def broken(request):
    print("about to fail", file=sys.stderr)
    return request.nothing.at.all


def read(request) -> bytes:
    body = request.consume()
    whole = b""
    with body.stream() as stream:
        while True:
            try:
                whole += stream.blocking_read(64 * 1024)
            except Err as end:
                if isinstance(end.value, StreamError_Closed):
                    return whole
                raise


def reply(response_out, headers, content: bytes):
    response = OutgoingResponse(Fields.from_list(list(headers.items())))
    body = response.body()
    ResponseOutparam.set(response_out, Ok(response))
    with body.write() as stream:
        for at in range(0, len(content), 4096):
            stream.blocking_write_and_flush(content[at : at + 4096])
    OutgoingBody.finish(body, None)
