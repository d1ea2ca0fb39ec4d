import { fieldAccess, isFillable, type UserFields } from '../../schemas/index.js'
import type { Row } from '../contracts/database-adapter.js'
import type { Writer } from '../contracts/users-api.js'

const FLAGS = ['is_active', 'is_superuser', 'is_verified'] as const
const NEW_FLAGS: Record<(typeof FLAGS)[number], boolean> = { is_active: true, is_superuser: false, is_verified: false }

/** Returns the flags that `by` may write, without absent ones and nulls. */
export function writableFlags (values: object, by: Writer): Partial<Record<(typeof FLAGS)[number], boolean>> {
  if (by === 'self') return {}
  const source = values as Row // the cast allows access by field name
  return Object.fromEntries(
    FLAGS.filter((flag) => typeof source[flag] === 'boolean').map((flag) => [flag, source[flag]])
  )
}

/** Returns the custom fields that `by` may write, at creation or later. */
export function writableFields (fields: UserFields, values: object, by: Writer, creating: boolean): Row {
  const source = values as Row // the cast allows access by field name
  return Object.fromEntries(
    Object.entries(fields)
      .filter(
        ([name, schema]) =>
          Object.hasOwn(source, name) && source[name] !== undefined && mayWrite(fieldAccess(schema), by, creating)
      )
      .map(([name]) => [name, source[name]])
  )
}

/** Returns the default values of a new user. */
export function defaultValues (fields: UserFields): Row {
  const custom = Object.entries(fields).map(([name, schema]): [string, unknown] => [
    name,
    'default' in schema ? structuredClone(schema.default) : null
  ])
  return { ...NEW_FLAGS, ...Object.fromEntries(custom) }
}

/** Returns the names of the custom fields that are required at creation. */
export function requiredFields (fields: UserFields): string[] {
  return Object.keys(fields).filter((name) => fields[name] !== undefined && !isFillable(fields[name]))
}

function mayWrite (access: ReturnType<typeof fieldAccess>, by: Writer, creating: boolean): boolean {
  if (by === 'code' || access === undefined) return true
  return access === 'createOnly' ? creating : access === 'adminOnly' && by === 'superuser'
}
