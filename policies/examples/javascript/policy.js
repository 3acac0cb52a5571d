// The rollback policy `budget`: a new version may fail so many requests more than the stable version would have, and no more.
//
// The host calls `describe` when it loads the policy, `checkSettings` when it reads a configuration that names it, and
// `evaluate` at each tick of a reload. What each of them is told and may answer stands in wit/policy.wit.

import { write } from 'caxton:policy/log@0.1.0';

// What `NAME.toml` or the agent's configuration may set. The host checks settings against this before the policy sees them.
const SCHEMA = {
  type: 'object',
  properties: {
    max_failures: {
      type: 'integer',
      minimum: 0,
      maximum: 1000000,
      default: 5,
      description: 'How many requests more may fail than the stable version would have failed',
    },
    min_requests: {
      type: 'integer',
      minimum: 1,
      maximum: 1000000,
      default: 50,
      description: 'How many requests must be finished before the version may go on',
    },
  },
  additionalProperties: false,
};

const DEFAULTS = { max_failures: 5, min_requests: 50 };

export const about = {
  describe() {
    return {
      name: 'budget',
      version: '0.1.0',
      about: 'Goes back when more than max_failures requests failed beyond what the stable version shows.',
      settingsSchema: JSON.stringify(SCHEMA),
    };
  },

  // What a schema cannot say. A thrown list of problems is the `err` of the contract, and the host shows each of them.
  checkSettings(text) {
    const settings = { ...DEFAULTS, ...JSON.parse(text) };
    if (settings.max_failures >= settings.min_requests) {
      throw [{
        path: '/min_requests',
        message: `must be more than max_failures (${settings.max_failures}): otherwise a version of which every request fails would pass`,
      }];
    }
  },
};

export const rollback = {
  // Whatever is thrown here is the `err` of the contract, which is a string: an error that nobody expected becomes one, so that
  // the host's log shows what it was and where.
  evaluate(text, context, metrics, windows, state) {
    try {
      return judge({ ...DEFAULTS, ...JSON.parse(text) }, context, windows);
    } catch (error) {
      throw `${error}\n${error.stack ?? ''}`;
    }
  },
};

// Counts come as BigInt, because they are u64: `Number` makes figures of them that can be divided.
function judge(settings, context, windows) {
  const { candidate, stable } = sums(windows);
  const before = count(context.baseline?.stable);

  // The stable version at the same time is the better comparison. Before it has a sample, it is what it was like before the reload.
  const compared = stable.requests >= settings.min_requests ? stable : before;
  const share = compared.requests > 0 ? compared.failures / compared.requests : 0;
  const excess = candidate.failures - candidate.requests * share;

  const findings = [
    finding('failures-beyond-stable', excess, settings.max_failures, candidate.requests, excess > settings.max_failures),
    finding('requests', candidate.requests, settings.min_requests, candidate.requests, false),
  ];
  const failed = `${candidate.failures} of ${candidate.requests} requests failed, ${excess.toFixed(1)} more than the stable version shows`;
  write('info', failed);

  if (excess > settings.max_failures) {
    const blame = stable.requests > 0 ? 'candidate' : 'unknown';
    return answer({ tag: 'rollback', val: blame }, 'budget-spent', `${failed}; at most ${settings.max_failures} may`, findings);
  }
  if (candidate.requests < settings.min_requests) {
    return answer({ tag: 'undecided' }, 'too-few-requests', `${failed}; ${settings.min_requests} requests are needed`, findings);
  }
  return answer({ tag: 'proceed' }, 'within-budget', `${failed}; up to ${settings.max_failures} may`, findings);
}

// What both versions did since the reload began, without the time in which the new one warmed up. The stable version counts only
// in windows in which the candidate had requests too, so that both saw the same minutes.
function sums(windows) {
  const candidate = { requests: 0, failures: 0 };
  const stable = { requests: 0, failures: 0 };
  for (const window of windows.filter((window) => !window.warmUp)) {
    // With the strategy `parallel` the version first gets copies: their answers are as good a sign as any.
    const tried = count(window.candidate, window.mirrored);
    if (tried.requests > 0) {
      add(candidate, tried);
      add(stable, count(window.stable));
    }
  }
  return { candidate, stable };
}

function count(...arms) {
  const sum = { requests: 0, failures: 0 };
  for (const arm of arms.filter((arm) => arm !== undefined)) {
    add(sum, { requests: Number(arm.requests), failures: Number(arm.failures) });
  }
  return sum;
}

function add(sum, more) {
  sum.requests += more.requests;
  sum.failures += more.failures;
}

function finding(metric, observed, limit, sample, breached) {
  return { metric, observed, limit, sample: BigInt(sample), statistic: 'threshold', value: observed, breached };
}

// `state` is what the next call gets; this policy needs none, because the windows cover the whole reload.
function answer(verdict, code, summary, findings) {
  return { verdict, why: { code, summary, findings }, state: new Uint8Array() };
}
