// An HTTP agent as componentize-js has them: a listener for `fetch`.

const STARTED = Date.now();
let requests = 0;

addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  requests += 1;
  const { pathname } = new URL(request.url);
  switch (pathname) {
    case '/throw':
      return broken(request);
    case '/echo':
      return new Response(await request.text(), {
        headers: { 'x-method': request.method, 'x-was-told': request.headers.get('x-tell') ?? 'nothing' },
      });
    default:
      return new Response(`javascript ${pathname} ${requests} ${STARTED > 0}\n`, { headers: { 'content-type': 'text/plain' } });
  }
}

function broken(request) {
  console.error('about to fail');
  return new Response(request.nothing.at.all);
}
