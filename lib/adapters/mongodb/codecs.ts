import type { IdKind } from '../../../schemas/index.js'
import type { Field } from '../../contracts/models.js'
import { isUuid } from '../../shared/text.js'
import { isWellFormed } from '../shared/values.js'
import type { BsonTypes, BsonValue } from './driver.js'

/** Converts the values of one field to BSON and back. Null is stored as null and not converted. */
export interface Codec {
  /** The name of the BSON type in the operator `$type`. */
  readonly type: 'string' | 'bool' | 'number' | 'date' | 'binData' | 'objectId' | 'object'
  /** Returns the BSON value; undefined for a value that no document can contain. */
  encode(value: unknown): unknown
  /** Returns the JavaScript value of a BSON value; undefined for a BSON value of another type. */
  decode(raw: unknown): unknown
}

/** The storage of an id: the storage of its kind, or text in older collections. */
export type IdForm = IdKind['storage']

const OBJECT_ID = /^[0-9a-f]{24}$/
const UUID_SUBTYPE = 4
const JSON_SUBTYPE = 0x80 // the first user-defined subtype of BSON binary data
const JSON_DEPTH = 50 // MongoDB refuses documents with more than 100 levels
const INT32 = 2_147_483_647

/**
 * Returns the codec of a field. `form` applies to ids only. `nestsArrays` is false for a server that cannot store
 * arrays in arrays.
 */
export function bsonCodecOf (field: Field, form: IdForm, bson: BsonTypes, nestsArrays: boolean): Codec {
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
        encode: (value) => new Date(value as Date), // callers check the type
        decode: (raw) => (raw instanceof Date && !Number.isNaN(raw.getTime()) ? raw : undefined)
      }
    case 'json':
      return jsonCodec(bson, nestsArrays)
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
          isUuid(value)
            ? new bson.Binary(Buffer.from(String(value).replaceAll('-', ''), 'hex'), UUID_SUBTYPE)
            : undefined,
        decode: (raw) => uuidOf(binaryBytes(raw, UUID_SUBTYPE)?.toString('hex'))
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

/**
 * Returns a codec that stores integers beyond 32 bits as 64-bit integers, as Python does. The driver would store such a
 * JavaScript number as a double.
 */
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
 * Returns a codec that stores JSON values as plain BSON. Values that BSON cannot contain, or that the server or the
 * driver would interpret (such as names with `$`), are stored as JSON text in binary data with a user-defined subtype.
 */
function jsonCodec ({ Binary }: BsonTypes, nestsArrays: boolean): Codec {
  return {
    type: 'object',
    encode (value) {
      const text = JSON.stringify(value)
      const copy: unknown = JSON.parse(text)
      const isPlain = isStorableJson(copy, JSON_DEPTH) && (nestsArrays || !hasNestedArray(copy))
      return isPlain ? copy : new Binary(Buffer.from(text), JSON_SUBTYPE)
    },
    decode: (raw) => JSON.parse(binaryBytes(raw, JSON_SUBTYPE)?.toString() ?? JSON.stringify(raw)) as unknown
  }
}

function isStorableJson (value: unknown, depth: number): boolean {
  if (typeof value === 'string') return isWellFormed(value)
  if (typeof value !== 'object' || value === null) return true
  if (depth === 0) return false
  return Object.entries(value).every(([name, inner]) => isStorableName(name) && isStorableJson(inner, depth - 1))
}

function hasNestedArray (value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return (Array.isArray(value) && value.some(Array.isArray)) || Object.values(value).some(hasNestedArray)
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

/** Returns a copy of the bytes of a binary value; undefined for another type or subtype. */
function binaryBytes (raw: unknown, subtype: number): Buffer | undefined {
  if (
    !isBson(raw, 'Binary') ||
    !('sub_type' in raw) ||
    raw.sub_type !== subtype ||
    !('buffer' in raw) ||
    !('position' in raw)
  ) {
    return undefined
  }
  return Buffer.from(raw.buffer as Uint8Array).subarray(0, Number(raw.position)) // all versions of bson have this shape
}

function isBson (raw: unknown, type: string): raw is BsonValue {
  return typeof raw === 'object' && raw !== null && '_bsontype' in raw && raw._bsontype === type
}
