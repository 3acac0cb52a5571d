"""The agent `{{name}}`: answers messages. What comes in and what may go out is written in wit/agent.wit; the modules under
`wit_world` are made from it.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import Failure_Invalid, Message


class Handler(exports.Handler):
    def handle(self, request: Message) -> Message:
        try:
            text = request.body.decode()
        except UnicodeDecodeError:
            raise Err(Failure_Invalid("the body must be text"))
        # What is printed is shown by `caxton dev`.
        print(f"a message of {len(text)} characters")
        who = text.strip() or "world"
        return Message(
            content_type="text/plain",
            body=f"hello {who}, this is {{name}}\n".encode(),
            metadata=[],
        )
