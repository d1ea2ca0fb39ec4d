import { component, Type, type IdKind, type Static, type TSchema } from '../../feature/index.js'
import { NAME_MAX_LENGTH } from './key-model.js'

const Time = Type.String({ format: 'date-time' })
const properties = {
  id: Type.String(),
  name: Type.String(),
  last_four: Type.String(),
  scopes: Type.Array(Type.String()),
  ip_ranges: Type.Array(Type.String()),
  created_at: Time,
  expires_at: Type.Union([Time, Type.Null()]),
  last_used_at: Type.Union([Time, Type.Null()])
}
const key = Type.String({ description: 'The key. It is shown only in this reply.' })

/** A key without its secret. */
export const ApiKeyRead = Type.Object(properties, component('ApiKeyRead'))
/** A new key with its text. */
export const ApiKeyCreated = Type.Object({ ...properties, key }, component('ApiKeyCreated'))

/** Returns the schema of a key of a service account. */
export function serviceKeyRead (id: IdKind): TSchema {
  return Type.Object({ ...properties, user_id: id.schema }, component('ServiceKeyRead'))
}

/** Returns the schema of a new key of a service account. */
export function serviceKeyCreated (id: IdKind): TSchema {
  return Type.Object({ ...properties, key, user_id: id.schema }, component('ServiceKeyCreated'))
}

const Name = Type.String({ minLength: 1, maxLength: NAME_MAX_LENGTH, examples: ['backup job'] })

/** Body that renames a key. */
export const ApiKeyRename = Type.Object({ name: Name }, component('ApiKeyRename'))
export type ApiKeyRename = Static<typeof ApiKeyRename>

/** Body of a new key. */
export const ApiKeyCreate = Type.Object(
  {
    name: Name,
    scopes: Type.Array(Type.String({ maxLength: 100 }), { maxItems: 100, examples: [['read']] }),
    expires_at: Type.Optional(Type.Union([Time, Type.Null()])),
    ip_ranges: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: 20, examples: [['192.0.2.0/24']] })),
    current_password: Type.Optional(Type.String({ format: 'password', maxLength: 1024 }))
  },
  component('ApiKeyCreate')
)
export type ApiKeyCreate = Static<typeof ApiKeyCreate>
