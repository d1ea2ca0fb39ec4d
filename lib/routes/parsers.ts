import { isUtf8 } from 'node:buffer'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { FST_USERS_BAD_REQUEST } from '../errors.js'

/** Maximum size of a body in bytes. */
export const BODY_LIMIT = 16_384

const MULTIPART_LIMITS = { fields: 10, fieldNameSize: 100, fieldSize: 4096, files: 0, parts: 10, headerPairs: 20 }

/** Replaces the inherited parsers with one for JSON. An empty body is treated as missing. */
export function addJsonParser (scope: FastifyInstance): void {
  const parse = scope.getDefaultJsonParser('error', 'error')
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    (request, body, done) => {
      if (body.length === 0) return done(null, undefined)
      if (!isUtf8(body)) return done(FST_USERS_BAD_REQUEST(), undefined)
      parse(request, body.toString('utf8'), (error, value) => {
        // the message of the parser would quote the body, which may contain a password
        done(error === null ? null : FST_USERS_BAD_REQUEST(), value)
      })
    }
  )
}

/** Treats a JSON body as empty, because the login route of FastAPI Users reads forms only. */
export function ignoreJsonBodies (scope: FastifyInstance): void {
  scope.removeContentTypeParser('application/json')
  scope.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    (_request, _body, done) => {
      done(null, undefined)
    }
  )
}

/** Adds parsers for URL-encoded and multipart forms. */
export function addFormParsers (scope: FastifyInstance): void {
  scope.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    async (_request: FastifyRequest, body: Buffer) => {
      if (!isUtf8(body) || !isUtf8(decodeEscapes(body))) throw FST_USERS_BAD_REQUEST()
      return toObject([...new URLSearchParams(body.toString('utf8'))])
    }
  )
  scope.addContentTypeParser(
    'multipart/form-data',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    async ({ headers }: FastifyRequest, body: Buffer) => {
      return toObject(await readMultipartFields(body, String(headers['content-type'])))
    }
  )
}

/**
 * Returns the decoded bytes of a form, to check them for invalid UTF-8: `URLSearchParams` would replace it by U+FFFD,
 * so that different passwords would be equal.
 */
function decodeEscapes (body: Buffer): Buffer {
  const bytes = body
    .toString('latin1')
    .replace(/%([0-9a-f]{2})/gi, (_escape, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1')
}

/** Returns the text fields of a multipart body (RFC 7578). Refuses files and parts that are not UTF-8. */
async function readMultipartFields (body: Buffer, contentType: string): Promise<[string, string][]> {
  const fields: [string, string][] = []
  let refused = !isUtf8(body)
  const { Busboy } = await import('@fastify/busboy') // loaded on first use: few clients send multipart bodies
  try {
    const busboy = new Busboy({
      headers: { 'content-type': contentType },
      limits: MULTIPART_LIMITS,
      isPartAFile: (_name, type, file) => file !== undefined || type === 'application/octet-stream'
    })
    busboy.on('field', (name, value, nameCut, valueCut) => {
      // a part that declares another character set is decoded to bytes that the body does not contain
      refused ||= nameCut || valueCut || !body.includes(value)
      fields.push([name, value])
    })
    for (const event of ['filesLimit', 'fieldsLimit', 'partsLimit'] as const) {
      busboy.on(event, () => {
        refused = true
      })
    }
    await pipeline(Readable.from([body]), busboy)
  } catch (error) {
    throw FST_USERS_BAD_REQUEST([], { cause: error })
  }
  if (refused) throw FST_USERS_BAD_REQUEST()
  return fields
}

/** Returns the fields as an object. Refuses repeated names, because a proxy might have checked the other value. */
function toObject (fields: readonly [string, string][]): Record<string, string> {
  const object: Record<string, string> = Object.create(null) as Record<string, string>
  for (const [name, value] of fields) {
    if (name in object) throw FST_USERS_BAD_REQUEST()
    object[name] = value
  }
  return object
}
