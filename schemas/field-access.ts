import type { TSchema } from '@sinclair/typebox'
import { invalidField } from './invalid-field.js'

const kAccess: unique symbol = Symbol.for('fastify-users.access') // shared by several copies of the package

/**
 * Who may write a custom field: `readOnly` only code, `createOnly` the user at registration, `adminOnly` superusers.
 */
export type FieldAccess = 'readOnly' | 'createOnly' | 'adminOnly'
/** What a marker adds to the schema of a field. */
export interface Marked<A extends FieldAccess> {
  [kAccess]: A
}

// Each marker returns an alias, and not `S & Marked<…>`, because a declaration file can name an alias. TypeScript would
// write an intersection with `TOptional` by its parts, and one of them is a symbol that no declaration file can name.

/** A field that only code writes. */
export type ReadOnly<S extends TSchema> = S & Marked<'readOnly'>
/** A field that users set at registration and never again. */
export type CreateOnly<S extends TSchema> = S & Marked<'createOnly'>
/** A field that only superusers and code write. */
export type AdminOnly<S extends TSchema> = S & Marked<'adminOnly'>

/** Only code (`app.users`) writes this field; no route does. */
export const readOnly = <S extends TSchema>(schema: S): ReadOnly<S> => mark(schema, 'readOnly')
/** The user sets this field at registration and never again. */
export const createOnly = <S extends TSchema>(schema: S): CreateOnly<S> => mark(schema, 'createOnly')
/** Only superusers (and code) write this field. */
export const adminOnly = <S extends TSchema>(schema: S): AdminOnly<S> => mark(schema, 'adminOnly')

/** Who may write a field of {@link userSchemas}; undefined for a field without a marker. */
export function fieldAccess (schema: TSchema): FieldAccess | undefined {
  return (schema as TSchema & Partial<Marked<FieldAccess>>)[kAccess]
}

function mark<S extends TSchema, A extends FieldAccess> (schema: S, access: A): S & Marked<A> {
  const other = fieldAccess(schema)
  if (other !== undefined && other !== access) {
    throw invalidField(`a schema is marked both ${other} and ${access}; choose one`)
  }
  return { ...schema, [kAccess]: access }
}
