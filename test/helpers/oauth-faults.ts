import type { ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'

/** Faulty replies of a provider. Each ends by itself or when the server closes. */
export const faults = {
  /** An HTML page, as a failing proxy sends it. */
  html: (reply) => send(reply, 200, 'text/html', '<!doctype html><script>alert(1)</script>'),
  /** An error with status 200. */
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
  /** JSON with another content type. */
  wrongType: (reply) => send(reply, 200, 'text/plain', '{"id":1,"sub":"1","access_token":"t","token_type":"bearer"}'),
  /** A reply with a content-length of 16 MiB. */
  huge: (reply) => send(reply, 200, 'application/json', `{"id":1,"bio":"${'a'.repeat(16 << 20)}"}`),
  /** An endless reply without a content-length. */
  endless (reply) {
    reply.writeHead(200, { 'content-type': 'application/json' }).write('{"id":1,"bio":"')
    const pour = (): void => {
      while (!reply.destroyed && reply.write('a'.repeat(65_536)));
    }
    reply.on('drain', pour)
    pour()
  },
  /** 64 KiB that decompress to 64 MiB. */
  gzipBomb: (reply) =>
    send(
      reply.setHeader('content-encoding', 'gzip'),
      200,
      'application/json',
      gzipSync(`{"id":1,"bio":"${'a'.repeat(64 << 20)}"}`)
    ),
  redirectLoop: (reply, url) => reply.writeHead(302, { location: url }).end(),
  /** A redirect to a private IP address. */
  redirectInside: (reply) => reply.writeHead(307, { location: 'http://169.254.169.254/latest/meta-data' }).end(),
  /** Receives the request and never replies. */
  tarpit: () => undefined,
  /** Sends one byte every 50 ms. */
  drip (reply) {
    reply.writeHead(200, { 'content-type': 'application/json' })
    const timer = setInterval(() => reply.write(' '), 50)
    reply.on('close', () => clearInterval(timer))
  },
  /** Switches to another protocol without a request for it. */
  switches: (reply) =>
    reply.socket?.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: odd\r\n\r\nodd'),
  /** Closes the connection without a reply. */
  cut: (reply) => reply.destroy(),
  /** Closes the connection in the middle of the body. */
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
