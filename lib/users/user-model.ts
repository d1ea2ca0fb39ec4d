import { OptionalKind, type TSchema } from '@sinclair/typebox'
import { EMAIL_MAX_LENGTH, type UserSchemas } from '../../schemas/index.js'
import type { Field, Model, Value } from '../contracts/models.js'

const HASH_MAX_LENGTH = 1024
const STAMP_MAX_LENGTH = 64
/** Samples of argon2 and bcrypt hashes. Constraints of existing tables are checked with them. */
const HASHES = [`$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$${'A'.repeat(43)}`, `$2b$12$${'A'.repeat(53)}`]

/** Returns the model of users: the columns of FastAPI Users, the security stamp, then the custom fields. */
export function userModel ({ id, fields }: UserSchemas): Model {
  return {
    name: 'user',
    table: 'user',
    fields: {
      id: { type: 'id', id },
      email: { type: 'text', maxLength: EMAIL_MAX_LENGTH, ignoreCase: true },
      hashed_password: { type: 'text', maxLength: HASH_MAX_LENGTH, examples: HASHES },
      is_active: { type: 'boolean', examples: [true] },
      is_superuser: { type: 'boolean', examples: [false] },
      is_verified: { type: 'boolean', examples: [false, true] },
      session_stamp: { type: 'text', maxLength: STAMP_MAX_LENGTH, nullable: true, optional: true },
      ...Object.fromEntries(Object.entries(fields).map(([name, schema]) => [name, fieldOfSchema(schema)]))
    },
    unique: [['email']]
  }
}

/** Returns how a custom field is stored, derived from its schema. */
function fieldOfSchema (schema: TSchema): Field {
  const variants: TSchema[] = (schema.anyOf as TSchema[] | undefined) ?? [schema]
  const types = new Set(variants.map(storedType))
  const nullable = types.delete('null') || OptionalKind in schema
  const [type] = types
  const stored = types.size === 1 && type !== undefined && type !== 'null' ? type : 'json'
  const width = variants.length === 1 && typeof schema.maxLength === 'number' ? { maxLength: schema.maxLength } : {}
  // JSON, as the schema says
  const fallback = 'default' in schema && schema.default !== null ? { default: schema.default as Value } : {}
  return { type: stored, ...(nullable ? { nullable } : {}), ...(stored === 'text' ? width : {}), ...fallback }
}

function storedType ({ type, const: constant }: TSchema): Field['type'] | 'null' {
  switch (type ?? typeof constant) {
    case 'string':
      return 'text'
    case 'boolean':
      return 'boolean'
    case 'integer':
      return 'integer'
    case 'number':
      return 'number'
    case 'null':
      return 'null'
    default:
      return 'json'
  }
}
