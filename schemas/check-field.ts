import { Kind, OptionalKind, type TSchema } from '@sinclair/typebox'
import { fieldAccess } from './field-access.js'
import { invalidField } from './invalid-field.js'

const RESERVED_NAMES = new Set([
  'id',
  'email',
  'password',
  'hashed_password',
  'session_stamp',
  'is_active',
  'is_superuser',
  'is_verified',
  'current_password',
  '__proto__',
  'constructor',
  'prototype'
])
const FIELD_NAME = /^[a-z][a-z0-9_]{0,62}$/i

// keywords whose value is a schema, a list of schemas, or an object of schemas (JSON Schema 2020-12, section 10)
const SINGLE = [
  'items',
  'additionalItems',
  'additionalProperties',
  'unevaluatedItems',
  'unevaluatedProperties',
  'contains',
  'propertyNames',
  'not',
  'if',
  'then',
  'else'
]
const LISTS = ['allOf', 'anyOf', 'oneOf', 'items', 'prefixItems']
const MAPS = ['properties', 'patternProperties', 'dependentSchemas', '$defs', 'definitions']

/** True for a field that is optional or has a default, so that a user can be created without a value. */
export function isFillable (schema: TSchema): boolean {
  return OptionalKind in schema || 'default' in schema
}

/** Throws `FST_USERS_INVALID_FIELD` for a custom field with a reserved name or an unsupported schema. */
export function checkField (name: string, schema: TSchema): void {
  if (RESERVED_NAMES.has(name)) throw invalidField(`the field name "${name}" is reserved; choose another name`)
  if (!FIELD_NAME.test(name)) {
    throw invalidField(
      `the field name "${name}" must begin with a letter and contain at most 63 letters, digits and underscores`
    )
  }
  checkFieldSchema(name, schema)
  const access = fieldAccess(schema)
  if ((access === 'readOnly' || access === 'adminOnly') && !isFillable(schema)) {
    throw invalidField(
      `the ${access} field "${name}" has no value at registration; give its schema a default or wrap it in Type.Optional`
    )
  }
}

/** Checks that a schema and all inner schemas come from the exported `Type`, and that no inner schema has a marker. */
function checkFieldSchema (field: string, schema: TSchema): void {
  if (!isSupportedSchema(schema)) {
    throw invalidField(
      `the field "${field}" must be made with the Type that fastify-users exports (TypeBox 0.34); schemas of the package typebox 1.x, Zod or plain JSON are not supported`
    )
  }
  for (const inner of innerSchemas(schema)) {
    const access = fieldAccess(inner)
    if (access !== undefined) {
      throw invalidField(
        `the field "${field}" has ${access} inside another type, where it has no effect; write ${access}(…) around the whole field`
      )
    }
    if (schema[Kind] !== 'Unsafe') checkFieldSchema(field, inner) // Type.Unsafe contains plain JSON Schemas
  }
}

/** True for a schema of TypeBox 0.34. Schemas of 1.x have hidden properties such as `~kind`. */
function isSupportedSchema (schema: unknown): boolean {
  return isRecord(schema) && Kind in schema && !Object.getOwnPropertyNames(schema).some((name) => name.startsWith('~'))
}

function innerSchemas (schema: TSchema): TSchema[] {
  const values = schema as Record<string, unknown>
  const single = SINGLE.map((keyword) => values[keyword])
  const lists = LISTS.map((keyword) => values[keyword])
    .filter(Array.isArray)
    .flat() as unknown[]
  const maps = MAPS.map((keyword) => values[keyword])
    .filter(isRecord)
    .flatMap((map) => Object.values(map))
  return [...single, ...lists, ...maps].filter(isRecord) as TSchema[]
}

function isRecord (value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
