import { randomBytes, randomUUID } from 'node:crypto'
import { Type, type TInteger, type TSchema, type TString } from '@sinclair/typebox'

/** The value of a user id in TypeScript and on the wire. */
export type IdValue = string | number

/**
 * How user ids look, are read from text and are made. Write your own for other forms (a ULID, say).
 * `parse` returns null for anything that is not an id: the routes answer 404 for it.
 */
export interface IdKind<T extends IdValue = IdValue, S extends TSchema = TSchema> {
  readonly name: string
  /** Schema of the id in a user's representation. */
  readonly schema: S
  /** Column form: `uuid` and `objectid` are native where the database has them, else text. */
  readonly storage: 'uuid' | 'integer' | 'objectid' | 'text'
  /** Width of the column for `text`, in characters. */
  readonly maxLength?: number
  readonly parse: (text: string) => T | null
  /** Makes a new id; absent when the database makes it. */
  readonly generate?: () => T
}

const UUID = /^(?:urn:uuid:)?(\{)?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})(\})?$/i
const OBJECT_ID = /^[0-9a-f]{24}$/i
const INTEGER = /^(?:0|[1-9][0-9]{0,15})$/

/**
 * Version 4 UUIDs (RFC 9562), the default. Reads the hyphenated, compact, braced and `urn:uuid:` forms, in either case.
 */
export function uuidId (): IdKind<string, TString> {
  return {
    name: 'uuid',
    schema: Type.String({ format: 'uuid', examples: ['05fff8ce-3a06-48f2-9c44-a16751012464'] }),
    storage: 'uuid',
    parse: parseUuid,
    generate: () => randomUUID()
  }
}

/** Integers that the database makes, from 0 to `maximum` (default 2147483647, a 32 bit column). */
export function integerId ({ maximum = 2_147_483_647 }: { maximum?: number } = {}): IdKind<number, TInteger> {
  return {
    name: 'integer',
    schema: Type.Integer({ minimum: 0, maximum, examples: [42] }),
    storage: 'integer',
    parse: (text) => (INTEGER.test(text) && Number(text) <= maximum ? Number(text) : null)
  }
}

/** MongoDB ObjectIds as 24 hexadecimal digits. */
export function objectIdId (): IdKind<string, TString> {
  return {
    name: 'objectid',
    schema: Type.String({ pattern: '^[0-9a-f]{24}$', examples: ['6650f1c2a7b3d4e5f6a7b8c9'] }),
    storage: 'objectid',
    parse: (text) => (OBJECT_ID.test(text) ? text.toLowerCase() : null),
    generate: generateObjectId
  }
}

function parseUuid (text: string): string | null {
  const match = UUID.exec(text)
  if (match === null || (match[1] === undefined) !== (match[7] === undefined)) return null
  return `${match[2]}-${match[3]}-${match[4]}-${match[5]}-${match[6]}`.toLowerCase()
}

/** Seconds since 1970 in 4 bytes, then 8 random bytes: the driver's own form, so that ids sort by time. */
function generateObjectId (): string {
  const bytes = randomBytes(12)
  bytes.writeUInt32BE(Math.floor(Date.now() / 1000) >>> 0)
  return bytes.toString('hex')
}
