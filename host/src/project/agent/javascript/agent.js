// The agent `{{name}}`: answers messages. What comes in and what may go out is written in wit/agent.wit.

export const handler = {
  handle(request) {
    let text;
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(request.body);
    } catch {
      throw { tag: 'invalid', val: 'the body must be text' };
    }
    // What is printed is shown by `caxton dev`.
    console.log(`a message of ${text.length} characters`);
    const who = text.trim() || 'world';
    return {
      contentType: 'text/plain',
      body: new TextEncoder().encode(`hello ${who}, this is {{name}}\n`),
      metadata: [],
    };
  },
};
