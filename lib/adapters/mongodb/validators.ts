import type { MongoDocument } from './driver.js'
import { usesDocumentId, type Layout, type StoredField, writtenNamesOf } from './layout.js'

/** The names that `bsonType` and `type` in a validator use for the type of each codec. */
const TYPES: Record<StoredField['codec']['type'], readonly string[]> = {
  string: ['string'],
  bool: ['bool', 'boolean'],
  number: ['int', 'long', 'double', 'decimal', 'number'],
  date: ['date'],
  binData: ['binData'],
  objectId: ['objectId'],
  object: [] // JSON values have any type
}

type Condition = readonly [path: string, condition: MongoDocument]
/** The parts of a validator that this module checks: schemas, and conditions on single fields. */
interface Rules {
  readonly schemas: readonly MongoDocument[]
  readonly conditions: readonly Condition[]
}

/**
 * Returns the reasons why the validator of a collection refuses every new document: a required field that the adapter
 * does not write, a field of another type, or a field that is not allowed. The server checks all other rules.
 */
export function validatorMismatches (layout: Layout, options: MongoDocument): string[] {
  const { validator, validationLevel, validationAction } = options
  if (!isDocument(validator) || validationLevel === 'off' || validationAction === 'warn') return []
  const { schemas, conditions } = rulesOf(validator)
  return [
    ...schemas.flatMap((schema) => schemaMismatches(layout, schema)),
    ...conditions.flatMap(([path, condition]) => conditionMismatches(layout, path, condition))
  ]
}

/** Returns the rules of a validator, which is a query. All parts of an `$and` apply. */
function rulesOf (query: MongoDocument): Rules {
  const parts = Object.entries(query).map(([name, value]): Rules => {
    if (name === '$jsonSchema' && isDocument(value)) return { schemas: [value], conditions: [] }
    if (name === '$and' && Array.isArray(value)) return joinRules(value.filter(isDocument).map(rulesOf))
    return { schemas: [], conditions: !name.startsWith('$') && isDocument(value) ? [[name, value]] : [] }
  })
  return joinRules(parts)
}

function joinRules (parts: readonly Rules[]): Rules {
  return { schemas: parts.flatMap(({ schemas }) => schemas), conditions: parts.flatMap(({ conditions }) => conditions) }
}

function schemaMismatches (layout: Layout, schema: MongoDocument): string[] {
  const required = textsOf(schema['required'])
    .filter((name) => !isWritten(layout, name))
    .map(describeUnwritten)
  const properties = isDocument(schema['properties']) ? schema['properties'] : {}
  const typed = Object.entries(properties).flatMap(([name, property]) => {
    return isDocument(property) ? typeMismatches(layout, name, textsOf(property['bsonType'] ?? property['type'])) : []
  })
  const isOpen = schema['additionalProperties'] !== false || isDocument(schema['patternProperties'])
  const unknown = isOpen ? [] : namesOf(layout).filter((name) => !Object.hasOwn(properties, name))
  return [
    ...required,
    ...typed,
    ...unknown.map((name) => `its validator does not allow the field "${name}"; add it to the validator`)
  ]
}

function conditionMismatches (layout: Layout, path: string, condition: MongoDocument): string[] {
  const missing =
    condition['$exists'] === true && !path.includes('.') && !isWritten(layout, path) ? [describeUnwritten(path)] : []
  return [...missing, ...typeMismatches(layout, path, textsOf(condition['$type']))]
}

function typeMismatches ({ fields }: Layout, name: string, allowed: readonly string[]): string[] {
  const field = fields.find(({ path }) => path === name)
  const types = field === undefined ? [] : TYPES[field.codec.type]
  if (types.length === 0 || allowed.length === 0 || allowed.some((type) => types.includes(type))) return []
  const advice = field?.definition.type === 'id' ? '; choose the matching id kind in `userSchemas`' : ''
  return [
    `its validator requires "${name}" to be ${allowed.join(' or ')}, but the adapter writes ${types[0]}${advice}`
  ]
}

function describeUnwritten (name: string): string {
  return (
    `its validator requires "${name}", which the adapter does not write; ` +
    'make it optional in the validator, or declare it as a custom field'
  )
}

function isWritten (layout: Layout, name: string): boolean {
  return namesOf(layout).includes(name)
}

/** Returns the names of the fields of every new document. */
function namesOf (layout: Layout): string[] {
  return [...new Set([...(usesDocumentId(layout) ? [] : ['_id']), ...writtenNamesOf(layout)])]
}

/** Returns the type names of a rule as a list. Returns an empty list if the rule gives types as numbers. */
function textsOf (value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value]
  return list.every((one) => typeof one === 'string') ? list : []
}

function isDocument (value: unknown): value is MongoDocument {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
