import { isDeepStrictEqual } from 'node:util'
import type { Document } from 'mongodb'

// Comparison and filters of the wire peer. It supports only the operators that the adapter sends.

/** The collation of an operation or an index. Without a strength, bytes are compared. */
export interface PeerCollation {
  locale?: string
  strength?: number
}

/** Thrown for commands and operators that the peer does not support. */
export class PeerRefusal extends Error {}

const collator = new Intl.Collator('en', { sensitivity: 'accent' }) // ICU's strength 2
const types = new Map([
  ['null', 1],
  ['number', 2],
  ['string', 3],
  ['object', 4],
  ['array', 5],
  ['binData', 6],
  ['objectId', 7],
  ['bool', 8],
  ['date', 9]
])

/** Returns the position of a value's type in the order of BSON. Missing values count as null. */
function rankOf (value: unknown): number {
  if (value === null || value === undefined) return 1
  if (typeof value === 'number') return 2
  if (typeof value === 'string') return 3
  if (typeof value === 'boolean') return 8
  if (Array.isArray(value)) return 5
  if (value instanceof Date) return 9
  const type = (value as { _bsontype?: string })._bsontype
  return type === 'Long' || type === 'Int32' || type === 'Double'
    ? 2
    : type === 'Binary'
      ? 6
      : type === 'ObjectId'
        ? 7
        : 4
}

/** Compares two values as a server does. */
export function compare (one: unknown, other: unknown, collation: PeerCollation = {}): number {
  const rank = rankOf(one)
  if (rank !== rankOf(other)) return rank - rankOf(other)
  if (typeof one === 'string' && typeof other === 'string') {
    return collation.strength === 2
      ? collator.compare(one, other)
      : Buffer.compare(Buffer.from(one), Buffer.from(other))
  }
  if (rank === 1) return 0 // missing and null
  if (rank === 2) return Number(one) - Number(other)
  if (rank === 6) return compareBinary(one as Document, other as Document)
  if (rank === 7) return Buffer.compare((one as { id: Uint8Array }).id, (other as { id: Uint8Array }).id)
  if (rank === 8 || rank === 9) return Number(one) - Number(other)
  return isDeepStrictEqual(one, other) ? 0 : 1
}

function compareBinary (one: Document, other: Document): number {
  const [left, right] = [one, other].map(({ buffer, position }) =>
    Buffer.from(buffer as Buffer).subarray(0, position as number)
  ) as [Buffer, Buffer]
  return left.length - right.length || one['sub_type'] - other['sub_type'] || Buffer.compare(left, right)
}

/** Returns the values at a path, including those of each element of a list. */
export function valuesAt (value: unknown, path: string): unknown[] {
  const [name = '', ...rest] = path.split('.')
  if (Array.isArray(value)) return value.flatMap((element) => valuesAt(element, path))
  const inner =
    typeof value === 'object' && value !== null && Object.hasOwn(value, name)
      ? ((value as Document)[name] as unknown)
      : undefined
  return rest.length === 0 ? [inner] : valuesAt(inner, rest.join('.'))
}

/** Returns true if a document matches a filter. */
export function matches (document: unknown, filter: Document, collation?: PeerCollation): boolean {
  return Object.entries(filter).every(([path, condition]: [string, unknown]) => {
    if (path === '$and') return (condition as Document[]).every((one) => matches(document, one, collation))
    if (path === '$or') return (condition as Document[]).some((one) => matches(document, one, collation))
    if (path.startsWith('$')) throw new PeerRefusal(`the peer has no ${path}`)
    const values = valuesAt(document, path)
    return meets(values, condition, collation)
  })
}

function meets (values: unknown[], condition: unknown, collation?: PeerCollation): boolean {
  if (rankOf(condition) !== 4) throw new PeerRefusal('the adapter sends operators only, never a bare value')
  return Object.entries(condition as Document).every(([operator, wanted]: [string, unknown]) =>
    operate(values, operator, wanted, collation)
  )
}

function operate (values: unknown[], operator: string, wanted: unknown, collation?: PeerCollation): boolean {
  const candidates = values.flatMap((value) => (Array.isArray(value) ? [value, ...(value as unknown[])] : [value]))
  const ordered = (holds: (order: number) => boolean): boolean =>
    candidates.some((value) => rankOf(value) === rankOf(wanted) && holds(compare(value, wanted, collation)))
  switch (operator) {
    case '$eq':
      return (wanted === null && candidates.length === 0) || ordered((order) => order === 0)
    case '$ne':
      return !operate(values, '$eq', wanted, collation)
    case '$lt':
      return ordered((order) => order < 0)
    case '$lte':
      return ordered((order) => order <= 0)
    case '$gt':
      return ordered((order) => order > 0)
    case '$gte':
      return ordered((order) => order >= 0)
    case '$in':
      return (wanted as unknown[]).some((one) => operate(values, '$eq', one, collation))
    case '$not':
      return !meets(values, wanted, collation)
    case '$exists':
      return values.some((value) => value !== undefined) === wanted
    case '$type':
      return candidates.some((value) => value !== undefined && rankOf(value) === types.get(String(wanted)))
    case '$elemMatch':
      return values.some(
        (value) =>
          Array.isArray(value) &&
          value.some((element) => rankOf(element) === 4 && matches(element, wanted as Document, collation))
      )
    default:
      throw new PeerRefusal(`the peer has no ${operator}`)
  }
}
