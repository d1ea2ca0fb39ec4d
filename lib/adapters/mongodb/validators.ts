import type { MongoDocument } from './driver.js'
import { hasOwnKey, type Layout, type StoredField } from './layout.js'

/** Types of BSON by the type's name in our queries, as `bsonType` and `type` of JSON Schema name them. */
const TYPES: Record<StoredField['codec']['type'], readonly string[]> = {
  string: ['string'],
  bool: ['bool', 'boolean'],
  number: ['int', 'long', 'double', 'decimal', 'number'],
  date: ['date'],
  binData: ['binData'],
  objectId: ['objectId'],
  object: [] // JSON may be of any type
}

type Condition = readonly [path: string, condition: MongoDocument]
/** The parts of a validator that are read: schemas, and conditions on single fields. */
interface Rules {
  readonly schemas: readonly MongoDocument[]
  readonly conditions: readonly Condition[]
}

/**
 * Returns why the validator of a collection refuses every new document: fields that nothing fills, values of another
 * type,
 * and fields that are not allowed. Only what is certain counts; other rules are left to the server.
 */
export function validatorMisfits (layout: Layout, options: MongoDocument): string[] {
  const { validator, validationLevel, validationAction } = options
  if (!isDocument(validator) || validationLevel === 'off' || validationAction === 'warn') return []
  const { schemas, conditions } = rulesOf(validator)
  return [
    ...schemas.flatMap((schema) => schemaMisfits(layout, schema)),
    ...conditions.flatMap(([path, condition]) => conditionMisfits(layout, path, condition))
  ]
}

/** A validator is a query; all parts of an `$and` must hold. */
function rulesOf (query: MongoDocument): Rules {
  const parts = Object.entries(query).map(([name, value]): Rules => {
    if (name === '$jsonSchema' && isDocument(value)) return { schemas: [value], conditions: [] }
    if (name === '$and' && Array.isArray(value)) return joined(value.filter(isDocument).map(rulesOf))
    return { schemas: [], conditions: !name.startsWith('$') && isDocument(value) ? [[name, value]] : [] }
  })
  return joined(parts)
}

function joined (parts: readonly Rules[]): Rules {
  return { schemas: parts.flatMap(({ schemas }) => schemas), conditions: parts.flatMap(({ conditions }) => conditions) }
}

function schemaMisfits (layout: Layout, schema: MongoDocument): string[] {
  const required = listOf(schema['required'])
    .filter((name) => !isFilled(layout, name))
    .map(unfilled)
  const properties = isDocument(schema['properties']) ? schema['properties'] : {}
  const typed = Object.entries(properties).flatMap(([name, property]) => {
    return isDocument(property) ? typeMisfits(layout, name, listOf(property['bsonType'] ?? property['type'])) : []
  })
  const isOpen = schema['additionalProperties'] !== false || isDocument(schema['patternProperties'])
  const unknown = isOpen ? [] : namesOf(layout).filter((name) => !Object.hasOwn(properties, name))
  return [
    ...required,
    ...typed,
    ...unknown.map((name) => `its validator does not allow the field "${name}"; add it there`)
  ]
}

function conditionMisfits (layout: Layout, path: string, condition: MongoDocument): string[] {
  const missing =
    condition['$exists'] === true && !path.includes('.') && !isFilled(layout, path) ? [unfilled(path)] : []
  return [...missing, ...typeMisfits(layout, path, listOf(condition['$type']))]
}

function typeMisfits ({ fields }: Layout, name: string, allowed: readonly string[]): string[] {
  const field = fields.find(({ path }) => path === name)
  const types = field === undefined ? [] : TYPES[field.codec.type]
  if (types.length === 0 || allowed.length === 0 || allowed.some((type) => types.includes(type))) return []
  const advice = field?.definition.type === 'id' ? '; choose the kind of ids in `userSchemas`' : ''
  return [`its validator wants "${name}" to be ${allowed.join(' or ')}, and users have ${types[0]} there${advice}`]
}

function unfilled (name: string): string {
  return `its validator asks for "${name}", which nothing fills: make it optional there, or declare it as a custom field`
}

function isFilled (layout: Layout, name: string): boolean {
  return namesOf(layout).includes(name)
}

/** The names of the fields that each new document has. */
function namesOf (layout: Layout): string[] {
  return [...new Set([...(hasOwnKey(layout) ? [] : ['_id']), ...layout.fields.map(({ path }) => path)])]
}

/** Names in a list, or one alone; numbers of types are not read. */
function listOf (value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value]
  return list.every((one) => typeof one === 'string') ? list : []
}

function isDocument (value: unknown): value is MongoDocument {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
