import type { ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'

/** What a provider that fails sends. Each ends by itself, or with the server. */
export const faults = {
  /** A page, as a proxy in trouble sends it. */
  html: (reply) => send(reply, 200, 'text/html', '<!doctype html><script>alert(1)</script>'),
  /** A failure that comes with status 200. */
  error200: (reply) =>
    sendJson(reply, 200, { error: 'bad_verification_code', error_description: '<b>the code is wrong</b>' }),
  error400: (reply) => sendJson(reply, 400, { error: 'invalid_grant', error_description: 'the code is used' }),
  error401: (reply) => sendJson(reply, 401, { message: 'Bad credentials' }),
  error404: (reply) => sendJson(reply, 404, { message: 'Not Found' }),
  error429: (reply) => sendJson(reply.setHeader('retry-after', '3600'), 429, { message: 'slow down' }),
  error500: (reply) => sendJson(reply, 500, { message: 'out of order' }),
  error503: (reply) => send(reply, 503, 'text/plain', 'maintenance'),
  noContent: (reply) => reply.writeHead(204).end(),
  empty: (reply) => send(reply, 200, 'application/json', ''),
  emptyObject: (reply) => sendJson(reply, 200, {}),
  null: (reply) => sendJson(reply, 200, null),
  list: (reply) => sendJson(reply, 200, [{ id: 1 }]),
  text: (reply) => sendJson(reply, 200, 'text'),
  invalidJson: (reply) => send(reply, 200, 'application/json', '{"id": 1'),
  invalidUtf8: (reply) => send(reply, 200, 'application/json', Buffer.from('{"id":"\xff\xfe"}', 'latin1')),
  /** JSON that says it is something else. */
  wrongType: (reply) => send(reply, 200, 'text/plain', '{"id":1,"sub":"1","access_token":"t","token_type":"bearer"}'),
  /** 16 MiB, told beforehand. */
  huge: (reply) => send(reply, 200, 'application/json', `{"id":1,"bio":"${'a'.repeat(16 << 20)}"}`),
  /** Never ends, and says no length. */
  endless (reply) {
    reply.writeHead(200, { 'content-type': 'application/json' }).write('{"id":1,"bio":"')
    const pour = (): void => {
      while (!reply.destroyed && reply.write('a'.repeat(65_536)));
    }
    reply.on('drain', pour)
    pour()
  },
  /** 64 MiB in 64 KiB. */
  gzipBomb: (reply) =>
    send(
      reply.setHeader('content-encoding', 'gzip'),
      200,
      'application/json',
      gzipSync(`{"id":1,"bio":"${'a'.repeat(64 << 20)}"}`)
    ),
  redirectLoop: (reply, url) => reply.writeHead(302, { location: url }).end(),
  /** To an address within the network. */
  redirectInside: (reply) => reply.writeHead(307, { location: 'http://169.254.169.254/latest/meta-data' }).end(),
  /** Takes the request, and says nothing. */
  tarpit: () => undefined,
  /** A byte each 50 ms. */
  drip (reply) {
    reply.writeHead(200, { 'content-type': 'application/json' })
    const timer = setInterval(() => reply.write(' '), 50)
    reply.on('close', () => clearInterval(timer))
  },
  /** Speaks another protocol from now on, which nobody asked for. */
  switches: (reply) =>
    reply.socket?.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: odd\r\n\r\nodd'),
  /** Ends the connection without a word. */
  cut: (reply) => reply.destroy(),
  /** Ends the connection within the body. */
  cutWithin: (reply) =>
    reply
      .writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
      .write('{"id":1', () => reply.destroy())
} satisfies Record<string, (reply: ServerResponse, url: string) => unknown>

export type Fault = keyof typeof faults

export function sendJson (reply: ServerResponse, status: number, body: unknown): void {
  send(reply, status, 'application/json; charset=utf-8', JSON.stringify(body))
}

export function send (reply: ServerResponse, status: number, type: string, body: string | Buffer): void {
  reply
    .writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' })
    .end(body)
}
