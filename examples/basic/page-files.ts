import type { FastifyInstance } from 'fastify'

/** Headers of all pages and their files. */
const HEADERS = {
  // Nothing inline, and nothing from other servers; the image is a QR code. No page can be framed. Scripts send the
  // forms: if a script does not load, the browser sends nothing.
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  // the links in mails have tokens
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff'
}

/** Style of the pages for visitors and users. */
export const STYLE = `body { font: 1.1rem/1.6 system-ui, sans-serif; color: #222; background: #faf8f4; overflow-wrap: anywhere }
main, dialog { max-width: 34rem; margin: 3rem auto; padding: 2rem; background: #fff; border: 1px solid #ddd; border-radius: 0.5rem }
dialog h2 { margin-top: 0 }
label { display: block; margin-block: 0.5rem }
input { display: block; width: 100%; box-sizing: border-box; font: inherit; padding: 0.4rem }
input[type=checkbox] { display: inline; width: auto }
button { font: inherit; color: #fff; background: #7a1f2b; border: 0; border-radius: 0.3rem; padding: 0.4rem 1rem; margin: 0.3rem 0.3rem 0.3rem 0 }
a, #message, [role=alert] { color: #7a1f2b }
#message, [role=alert] { min-height: 1.6em }
#message { position: sticky; top: 0; background: #fff }
[hidden] { display: none }
@media (max-width: 30rem) { main, dialog { margin-block: 1rem; padding: 1rem } }
`

/** A file of a page, with its media type. */
type PageFile = [path: string, type: string, content: string]

/** Adds a route for each file, with the same headers. */
export function addPageFiles (app: FastifyInstance, files: readonly PageFile[]): void {
  for (const [path, type, content] of files) {
    app.get(path, { schema: { hide: true } }, async (_request, reply) =>
      reply.type(type).headers(HEADERS).send(content)
    )
  }
}
