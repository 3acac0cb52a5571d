"""The rollback policy `budget`: a new version may fail so many requests more than the stable version would have, and no more.

The host calls `describe` when it loads the policy, `check_settings` when it reads a configuration that names it, and
`evaluate` at each tick of a reload. What each of them is told and may answer stands in wit/policy.wit; the modules under
`wit_world` are made from it.
"""

import json
from dataclasses import dataclass

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.rollback import (
    Answer,
    Blame,
    Verdict_Proceed,
    Verdict_Rollback,
    Verdict_Undecided,
)
from wit_world.imports import log
from wit_world.imports.types import Explanation, Finding, Info, Problem

# What `NAME.toml` or the agent's configuration may set. The host checks settings against this before the policy sees them.
SCHEMA = {
    "type": "object",
    "properties": {
        "max_failures": {
            "type": "integer",
            "minimum": 0,
            "maximum": 1000000,
            "default": 5,
            "description": "How many requests more may fail than the stable version would have failed",
        },
        "min_requests": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1000000,
            "default": 50,
            "description": "How many requests must be finished before the version may go on",
        },
    },
    "additionalProperties": False,
}

DEFAULTS = {"max_failures": 5, "min_requests": 50}


class About(exports.About):
    def describe(self):
        return Info(
            name="budget",
            version="0.1.0",
            about="Goes back when more than max_failures requests failed beyond what the stable version shows.",
            settings_schema=json.dumps(SCHEMA),
        )

    def check_settings(self, settings):
        """What a schema cannot say. `Err` is the `err` of the contract, and the host shows each problem."""
        settings = DEFAULTS | json.loads(settings)
        if settings["max_failures"] >= settings["min_requests"]:
            raise Err([Problem(
                path="/min_requests",
                message=f"must be more than max_failures ({settings['max_failures']}): "
                "otherwise a version of which every request fails would pass",
            )])


class Rollback(exports.Rollback):
    def evaluate(self, settings, context, metrics, windows, state):
        settings = DEFAULTS | json.loads(settings)
        candidate, stable = sums(windows)
        before = count(context.baseline.stable if context.baseline else None)

        # The stable version at the same time is the better comparison. Before it has a sample, it is what it was like before
        # the reload.
        compared = stable if stable.requests >= settings["min_requests"] else before
        share = compared.failures / compared.requests if compared.requests else 0.0
        excess = candidate.failures - candidate.requests * share

        limit, needed = settings["max_failures"], settings["min_requests"]
        findings = [
            finding("failures-beyond-stable", excess, limit, candidate.requests, excess > limit),
            finding("requests", candidate.requests, needed, candidate.requests, False),
        ]
        failed = (
            f"{candidate.failures} of {candidate.requests} requests failed, "
            f"{excess:.1f} more than the stable version shows"
        )
        log.write(log.Level.INFO, failed)

        if excess > limit:
            blame = Blame.CANDIDATE if stable.requests else Blame.UNKNOWN
            return answer(Verdict_Rollback(blame), "budget-spent", f"{failed}; at most {limit} may", findings)
        if candidate.requests < needed:
            return answer(Verdict_Undecided(), "too-few-requests", f"{failed}; {needed} requests are needed", findings)
        return answer(Verdict_Proceed(), "within-budget", f"{failed}; up to {limit} may", findings)


@dataclass
class Count:
    requests: int = 0
    failures: int = 0

    def add(self, arm):
        if arm:
            self.requests += arm.requests
            self.failures += arm.failures


def count(*arms):
    total = Count()
    for arm in arms:
        total.add(arm)
    return total


def sums(windows):
    """What both versions did since the reload began, without the time in which the new one warmed up.

    The stable version counts only in windows in which the candidate had requests too, so that both saw the same minutes.
    """
    candidate, stable = Count(), Count()
    for window in windows:
        if window.warm_up:
            continue
        # With the strategy `parallel` the version first gets copies: their answers are as good a sign as any.
        tried = count(window.candidate, window.mirrored)
        if tried.requests:
            candidate.add(tried)
            stable.add(window.stable)
    return candidate, stable


def finding(metric, observed, limit, sample, breached):
    return Finding(metric, float(observed), float(limit), sample, "threshold", float(observed), breached)


def answer(verdict, code, summary, findings):
    """`state` is what the next call gets; this policy needs none, because the windows cover the whole reload."""
    return Answer(verdict=verdict, why=Explanation(code, summary, findings), state=b"")
