import { isDeepStrictEqual } from 'node:util'
import { Type, type TSchema } from '@sinclair/typebox'
import type { UserSchemas } from '../schemas/index.js'
import type { Feature, UserField } from './contracts/feature.js'
import type { ModelBase } from './contracts/models.js'
import type { Settings } from './contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from './errors.js'

/**
 * Returns the schemas with the properties that features add to users in replies. Throws `FST_USERS_INVALID_OPTION` if a
 * user has a property of this name already.
 */
export function addReplyFields (schemas: UserSchemas, features: readonly Feature[], tenant: string): UserSchemas {
  const base: ModelBase = { id: schemas.id, tenant }
  const added: Record<string, TSchema> = {}
  for (const { name, replyFields, userFields } of features) {
    const columns = Object.entries(userFields?.(base) ?? {}).map(([field, { schema }]) => [field, schema] as const)
    for (const [field, schema] of [...Object.entries(replyFields?.(base) ?? {}), ...columns]) {
      const known = schemas.UserRead.properties[field] ?? added[field]
      if (known !== undefined && !isDeepStrictEqual(known, schema)) {
        throw FST_USERS_INVALID_OPTION([
          `features["${name}"]`,
          `has the property ${field}, which users have already; rename the custom field, or switch the property off`
        ])
      }
      added[field] = schema
    }
  }
  const { UserRead } = schemas
  const optional = Object.fromEntries(Object.entries(added).map(([field, schema]) => [field, Type.Optional(schema)]))
  if (Object.keys(optional).length === 0) return schemas
  // a schema with more optional properties, in the order of FastAPI Users
  const properties = { ...optional, ...UserRead.properties }
  return { ...schemas, UserRead: { ...UserRead, properties } as typeof UserRead }
}

/** Returns the columns of features that users have as properties, by name. */
export function userFieldsOf (
  features: readonly Feature[],
  { schemas, name }: Pick<Settings, 'schemas' | 'name'>
): [name: string, field: UserField][] {
  return features.flatMap(({ userFields }) => Object.entries(userFields?.({ id: schemas.id, tenant: name }) ?? {}))
}
