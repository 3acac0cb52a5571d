"""A rollback policy that fails as its settings say, to see what reaches whoever wrote it."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.rollback import Answer, Verdict_Proceed
from wit_world.imports.types import Explanation, Info

SCHEMA = {"type": "object", "properties": {"fault": {"type": "string"}}, "additionalProperties": False}


class About(exports.About):
    def describe(self):
        return Info("faulty", "0.1.0", "Fails as told.", json.dumps(SCHEMA))

    def check_settings(self, settings):
        pass


class Rollback(exports.Rollback):
    def evaluate(self, settings, context, metrics, windows, state):
        return judge(json.loads(settings).get("fault"), windows)


def judge(fault, windows):
    if fault == "exception":
        return windows[0].candidate.request.count
    if fault == "thrown-error":
        raise ValueError("the budget is not a number")
    if fault == "err":
        raise Err("no opinion on this one")
    if fault == "loop":
        while True:
            pass
    if fault == "hoard":
        return hoard()
    if fault == "nonsense":
        return answer("Not A Code")
    return answer("fine")


def hoard():
    kept = []
    while True:
        kept.append(bytes(1024 * 1024))


def answer(code):
    return Answer(Verdict_Proceed(), Explanation(code, "", []), b"")
