import { isUtf8 } from 'node:buffer'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { FST_USERS_BAD_REQUEST } from '../errors.js'

/** Largest body of our routes, in bytes. */
export const BODY_LIMIT = 16_384

const MULTIPART_LIMITS = { fields: 10, fieldNameSize: 100, fieldSize: 4096, files: 0, parts: 10, headerPairs: 20 }

/** Replaces the parsers that the scope inherited by ours: JSON alone, where an empty body counts as none. */
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
        done(error === null ? null : FST_USERS_BAD_REQUEST(), value)
      }) // the parser's message quotes the body
    }
  )
}

/** Adds the two forms of the login body. */
export function addFormParsers (scope: FastifyInstance): void {
  scope.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    async (_request: FastifyRequest, body: Buffer) => {
      if (!isUtf8(body) || !isUtf8(withoutEscapes(body))) throw FST_USERS_BAD_REQUEST()
      return toObject([...new URLSearchParams(body.toString('utf8'))])
    }
  )
  scope.addContentTypeParser(
    'multipart/form-data',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    async ({ headers }: FastifyRequest, body: Buffer) => {
      return toObject(await readFields(body, String(headers['content-type'])))
    }
  )
}

/**
 * Returns the bytes that a form stands for. A reader of text replaces invalid UTF-8 among them by U+FFFD, so that
 * different passwords become one.
 */
function withoutEscapes (body: Buffer): Buffer {
  const bytes = body
    .toString('latin1')
    .replace(/%([0-9a-f]{2})/gi, (_escape, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1')
}

/** Returns the text fields of a multipart body (RFC 7578), which is UTF-8 in all its parts. Refuses files. */
async function readFields (body: Buffer, contentType: string): Promise<[string, string][]> {
  const fields: [string, string][] = []
  let refused = !isUtf8(body)
  const { Busboy } = await import('@fastify/busboy') // few clients log in by multipart: not loaded at start
  try {
    const busboy = new Busboy({
      headers: { 'content-type': contentType },
      limits: MULTIPART_LIMITS,
      isPartAFile: (_name, type, file) => file !== undefined || type === 'application/octet-stream'
    })
    busboy.on('field', (name, value, nameCut, valueCut) => {
      refused ||= nameCut || valueCut || !body.includes(value) // a part may name another character set than UTF-8
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

/** One value per name; a repeated name is refused, so that nobody else can read another one. */
function toObject (fields: readonly [string, string][]): Record<string, string> {
  const object: Record<string, string> = Object.create(null) as Record<string, string>
  for (const [name, value] of fields) {
    if (name in object) throw FST_USERS_BAD_REQUEST()
    object[name] = value
  }
  return object
}
