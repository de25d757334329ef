// Serves the page, its script and the library on this machine.
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';

/** `library` is the text of the bundle for browsers, `folder` where the page lies. Listens on localhost, where browsers allow WebGPU. */
export function serve(library: string, folder: URL, port = 0): Promise<Server> {
  const file = (name: string) => () => readFileSync(new URL(name, folder), 'utf8');
  const files: Record<string, [type: string, text: () => string]> = {
    '/': ['text/html', file('index.html')],
    '/train.js': ['text/javascript', file('train.js')],
    '/dawnfield.js': ['text/javascript', () => library],
  };
  const server = createServer((request, response) => {
    const found = Object.entries(files).find(([path]) => path === request.url);
    if (!found) return void response.writeHead(404).end();
    const [, [type, text]] = found;
    response.setHeader('content-type', `${type}; charset=utf-8`);
    response.end(text());
  });
  return new Promise((resolve) => server.listen(port, 'localhost', () => resolve(server)));
}
