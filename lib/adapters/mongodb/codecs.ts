import type { IdKind } from '../../../schemas/index.js'
import type { Field } from '../../contracts/models.js'
import { isWellFormed } from '../shared/values.js'
import type { BsonTypes, BsonValue } from './driver.js'

/** How the values of one field are stored. Null is stored as null. */
export interface Codec {
  /** The type's name in queries. */
  readonly type: 'string' | 'bool' | 'number' | 'date' | 'binData' | 'objectId' | 'object'
  /** The BSON value of a value that the field accepts; undefined for one that no document holds. */
  encode(value: unknown): unknown
  /** The value of a BSON value; undefined for one of another type. */
  decode(raw: unknown): unknown
}

/** How an id is stored: natively as its kind says, or as text in older collections. */
export type IdForm = IdKind['storage']

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const OBJECT_ID = /^[0-9a-f]{24}$/
const UUID_SUBTYPE = 4
const JSON_SUBTYPE = 0x80 // the first one for users
const JSON_DEPTH = 50 // a server refuses documents of more than 100 levels
const INT32 = 2_147_483_647

/** The codec of a field; `form` is that of an id. */
export function codecOf (field: Field, form: IdForm, bson: BsonTypes): Codec {
  switch (field.type) {
    case 'id':
      return idCodec(form, bson)
    case 'boolean':
      return { type: 'bool', encode: (value) => value, decode: (raw) => (typeof raw === 'boolean' ? raw : undefined) }
    case 'integer':
      return integerCodec(bson)
    case 'number':
      return { type: 'number', encode: (value) => value, decode: (raw) => finite(toNumber(raw)) }
    case 'time':
      return {
        type: 'date',
        encode: (value) => new Date(value as Date),
        decode: (raw) => (raw instanceof Date && !Number.isNaN(raw.getTime()) ? raw : undefined)
      } // callers check the type
    case 'json':
      return jsonCodec(bson)
    default:
      return textCodec
  }
}

const textCodec: Codec = {
  type: 'string',
  encode: (value) => (typeof value === 'string' && isWellFormed(value) ? value : undefined),
  decode: (raw) => (typeof raw === 'string' ? raw : undefined)
}

function idCodec (form: IdForm, bson: BsonTypes): Codec {
  switch (form) {
    case 'integer':
      return integerCodec(bson)
    case 'uuid':
      return {
        type: 'binData',
        encode: (value) =>
          UUID.test(String(value))
            ? new bson.Binary(Buffer.from(String(value).replaceAll('-', ''), 'hex'), UUID_SUBTYPE)
            : undefined,
        decode: (raw) => uuidOf(bytesOf(raw, UUID_SUBTYPE)?.toString('hex'))
      }
    case 'objectid':
      return {
        type: 'objectId',
        encode: (value) => (OBJECT_ID.test(String(value)) ? new bson.ObjectId(String(value)) : undefined),
        decode: (raw) => (isBson(raw, 'ObjectId') ? String(raw) : undefined)
      }
    default:
      return textCodec
  }
}

function uuidOf (hex: string | undefined): string | undefined {
  const parts = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/.exec(hex ?? '')
  return parts?.slice(1).join('-')
}

/** Numbers beyond 32 bits are 64 bit integers, as Python's are: a plain JavaScript number would be a double. */
function integerCodec ({ Long }: BsonTypes): Codec {
  return {
    type: 'number',
    encode: (value) => (typeof value === 'number' && Math.abs(value) > INT32 ? Long.fromNumber(value) : value),
    decode (raw) {
      const value = toNumber(raw)
      return Number.isSafeInteger(value) ? value : undefined
    }
  }
}

/**
 * Plain data is stored as it is. What a document cannot hold, or what a server or driver would read as its own (names
 * with
 * `$`, say), is stored as JSON text in bytes of a subtype for users.
 */
function jsonCodec ({ Binary }: BsonTypes): Codec {
  return {
    type: 'object',
    encode (value) {
      const text = JSON.stringify(value)
      const copy: unknown = JSON.parse(text)
      return isStorable(copy, JSON_DEPTH) ? copy : new Binary(Buffer.from(text), JSON_SUBTYPE)
    },
    decode: (raw) => JSON.parse(bytesOf(raw, JSON_SUBTYPE)?.toString() ?? JSON.stringify(raw)) as unknown
  }
}

function isStorable (value: unknown, depth: number): boolean {
  if (typeof value === 'string') return isWellFormed(value)
  if (typeof value !== 'object' || value === null) return true
  if (depth === 0) return false
  return Object.entries(value).every(([name, inner]) => isStorableName(name) && isStorable(inner, depth - 1))
}

function isStorableName (name: string): boolean {
  return !/[$.\0]/.test(name) && name !== '__proto__' && name !== '_bsontype' && name !== 'toBSON' && isWellFormed(name)
}

function finite (value: number | undefined): number | undefined {
  return Number.isFinite(value) ? value : undefined
}

function toNumber (raw: unknown): number | undefined {
  if (typeof raw === 'number') return raw
  return isBson(raw, 'Long') ? Number(String(raw)) : undefined
}

/** The bytes of a binary value of a subtype, in a buffer that is a copy. */
function bytesOf (raw: unknown, subtype: number): Buffer | undefined {
  if (
    !isBson(raw, 'Binary') ||
    !('sub_type' in raw) ||
    raw.sub_type !== subtype ||
    !('buffer' in raw) ||
    !('position' in raw)
  ) {
    return undefined
  }
  return Buffer.from(raw.buffer as Uint8Array).subarray(0, Number(raw.position)) // as all versions of bson have it
}

function isBson (raw: unknown, type: string): raw is BsonValue {
  return typeof raw === 'object' && raw !== null && '_bsontype' in raw && raw._bsontype === type
}
