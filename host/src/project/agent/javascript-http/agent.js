// The agent `{{name}}`: answers HTTP requests, in the words of the web: Request, Response, fetch.

addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { pathname, search } = new URL(request.url);
  // What is printed is shown by `caxton dev`.
  console.log(`a request for ${pathname}${search}`);
  return new Response(`hello, this is {{name}} at ${pathname}${search}\n`, {
    headers: { 'content-type': 'text/plain; charset=utf-8' },
  });
}
