import { randomBytes, randomUUID } from 'node:crypto'
import { Type, type TInteger, type TSchema, type TString } from '@sinclair/typebox'

/** Value of a user id in TypeScript and in JSON. */
export type IdValue = string | number

/**
 * Kind of user ids: their schema, storage, parser and generator. Write your own for other ids, such as ULIDs.
 */
export interface IdKind<T extends IdValue = IdValue, S extends TSchema = TSchema> {
  /** Name of the kind, such as `uuid`. */
  readonly name: string
  /** Schema of the id in a user's representation. */
  readonly schema: S
  /** Type of the column. `uuid` and `objectid` are native types if the database has them, otherwise text. */
  readonly storage: 'uuid' | 'integer' | 'objectid' | 'text'
  /** Width of a `text` column in characters. */
  readonly maxLength?: number
  /** Returns the id that the text contains, or null if it is not an id. The routes reply with 404 for null. */
  readonly parse: (text: string) => T | null
  /** Creates a new id. Absent if the database creates ids. */
  readonly generate?: () => T
}

const UUID = /^(?:urn:uuid:)?(\{)?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})(\})?$/i
/** The form in which ids are stored and sent. */
const CANONICAL_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const OBJECT_ID = /^[0-9a-f]{24}$/i
const INTEGER = /^(?:0|[1-9][0-9]{0,15})$/

/**
 * Creates the default kind of ids: version 4 UUIDs (RFC 9562). It parses the hyphenated, compact, braced and
 * `urn:uuid:` forms in upper or lower case.
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

/** Creates the kind of integer ids, which the database generates. `maximum` is 2147483647 by default, for 32 bits. */
export function integerId ({ maximum = 2_147_483_647 }: { maximum?: number } = {}): IdKind<number, TInteger> {
  return {
    name: 'integer',
    schema: Type.Integer({ minimum: 0, maximum, examples: [42] }),
    storage: 'integer',
    parse: (text) => (INTEGER.test(text) && Number(text) <= maximum ? Number(text) : null)
  }
}

/** Creates the kind of MongoDB ObjectIds, written as 24 hexadecimal digits. */
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
  if (CANONICAL_UUID.test(text)) return text
  const match = UUID.exec(text)
  if (match === null || (match[1] === undefined) !== (match[7] === undefined)) return null
  return `${match[2]}-${match[3]}-${match[4]}-${match[5]}-${match[6]}`.toLowerCase()
}

/** Returns seconds since 1970 in 4 bytes, then 8 random bytes. Ids sort by time, as those of MongoDB's driver do. */
function generateObjectId (): string {
  const bytes = randomBytes(12)
  bytes.writeUInt32BE(Math.floor(Date.now() / 1000) >>> 0)
  return bytes.toString('hex')
}
