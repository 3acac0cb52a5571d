// A rollback policy that fails as its settings say, to see what reaches whoever wrote it.

const SCHEMA = { type: 'object', properties: { fault: { type: 'string' } }, additionalProperties: false };

export const about = {
  describe() {
    return { name: 'faulty', version: '0.1.0', about: 'Fails as told.', settingsSchema: JSON.stringify(SCHEMA) };
  },
  checkSettings(_text) {},
};

export const rollback = {
  evaluate(text, _context, _metrics, windows, _state) {
    try {
      return judge(JSON.parse(text).fault, windows);
    } catch (error) {
      // As policies/examples/javascript does it.
      throw `${error}\n${error.stack ?? ''}`;
    }
  },
};

function judge(fault, windows) {
  switch (fault) {
    case 'exception':
      return windows[0].candidate.request.count;
    case 'thrown-error':
      throw new Error('the budget is not a number');
    case 'err':
      throw 'no opinion on this one';
    case 'loop':
      for (;;);
    case 'hoard':
      return hoard();
    case 'nonsense':
      return answer('Not A Code');
    default:
      return answer('fine');
  }
}

function hoard() {
  const kept = [];
  for (;;) kept.push(new Uint8Array(1024 * 1024).fill(1));
}

function answer(code) {
  return { verdict: { tag: 'proceed' }, why: { code, summary: '', findings: [] }, state: new Uint8Array() };
}
