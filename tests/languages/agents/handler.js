// A `caxton:agent/handler` agent.
//
// What componentize-js makes of an exception here names what went wrong and not where: the contract's failures are a variant, and the
// exception is none of its cases. Who wants the place writes it, as under `caught`.

import { add } from 'caxton:agent/metrics@0.1.0';

export const handler = {
  handle(message) {
    const text = new TextDecoder().decode(message.body);
    if (text === 'throw') {
      return broken(message);
    }
    if (text === 'caught') {
      try {
        return broken(message);
      } catch (error) {
        console.error(`${error}\n${error.stack}`);
        throw { tag: 'internal', val: String(error) };
      }
    }
    if (text === 'refuse') {
      throw { tag: 'invalid', val: 'not this one' };
    }
    add('messages', 1n);
    const told = message.metadata.find(([name]) => name === 'x-tell')?.[1] ?? 'nothing';
    return {
      contentType: 'text/plain',
      body: new TextEncoder().encode(`javascript: ${text}`),
      metadata: [['x-was-told', told]],
    };
  },
};

function broken(message) {
  return message.nothing.at.all;
}
