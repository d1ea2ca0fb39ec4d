import type { TSchema } from '@sinclair/typebox'
import { invalidField } from './invalid-field.js'

const kAccess: unique symbol = Symbol.for('fastify-users.access') // the same symbol in all copies of the package

/**
 * Write access to a custom field: `readOnly` for code only, `createOnly` for the user at registration, `adminOnly` for
 * superusers and code.
 */
export type FieldAccess = 'readOnly' | 'createOnly' | 'adminOnly'

/** Property that a marker adds to the schema of a field. */
export interface Marked<A extends FieldAccess> {
  [kAccess]: A
}

// Each marker returns an alias, and not `S & Marked<…>`, because a declaration file can name an alias. TypeScript would
// write an intersection with `TOptional` by its parts, and one of them is a symbol that no declaration file can name.

/** Schema of a field that only code can write. */
export type ReadOnly<S extends TSchema> = S & Marked<'readOnly'>
/** Schema of a field that users can set only at registration. */
export type CreateOnly<S extends TSchema> = S & Marked<'createOnly'>
/** Schema of a field that only superusers and code can write. */
export type AdminOnly<S extends TSchema> = S & Marked<'adminOnly'>

/** Marks a field that only code can write, through `app.users`. No route writes it. */
export const readOnly = <S extends TSchema>(schema: S): ReadOnly<S> => mark(schema, 'readOnly')
/** Marks a field that users can set only at registration. */
export const createOnly = <S extends TSchema>(schema: S): CreateOnly<S> => mark(schema, 'createOnly')
/** Marks a field that only superusers and code can write. */
export const adminOnly = <S extends TSchema>(schema: S): AdminOnly<S> => mark(schema, 'adminOnly')

/** Returns the write access to a field of {@link userSchemas}, or undefined for a field without a marker. */
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
