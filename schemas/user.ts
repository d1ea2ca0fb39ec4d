import {
  Type,
  type TObject,
  type TOptional,
  type TProperties,
  type TSchema,
  type TString,
  type TBoolean,
  type TUnion,
  type TNull
} from '@sinclair/typebox'
import { checkField, isFillable } from './check-field.js'
import { component, Email, Password } from './common.js'
import { fieldAccess, type FieldAccess, type Marked } from './field-access.js'
import { uuidId, type IdKind } from './ids.js'

/** Schemas of custom fields by name. */
export type UserFields = TProperties
type Unmarked<F extends UserFields> = { [K in keyof F as F[K] extends Marked<FieldAccess> ? never : K]: F[K] }
type WithoutAccess<F extends UserFields, A extends FieldAccess> = {
  [K in keyof F as F[K] extends Marked<A> ? never : K]: F[K]
}
/** Fields made optional. Unknown fields stay as they are, so that every `UserSchemas` extends the default one. */
type OptionalFields<F extends UserFields> = string extends keyof F ? F : { [K in keyof F]: TOptional<F[K]> }
type Marks<F extends UserFields, A extends FieldAccess> = { [K in keyof F as F[K] extends Marked<A> ? K : never]: F[K] }

type Flag = TUnion<[TBoolean, TNull]>
// a type alias, because the index signature of an interface would hide the other fields
type FlagFields = { is_active: TOptional<Flag>; is_superuser: TOptional<Flag>; is_verified: TOptional<Flag> }

/** Schemas of a user with custom fields, for routes, services and adapters. {@link userSchemas} creates them. */
export interface UserSchemas<F extends UserFields = UserFields, I extends IdKind = IdKind> {
  readonly UserRead: TObject<
    { id: I['schema']; email: TString; is_active: TBoolean; is_superuser: TBoolean; is_verified: TBoolean } & F
  >
  readonly UserCreate: TObject<
    { email: TString; password: TString } & FlagFields &
      Unmarked<F> &
      Marks<F, 'createOnly'> &
      OptionalFields<Marks<F, 'adminOnly'>>
  >
  readonly UserUpdate: TObject<
    { password: TOptional<TUnion<[TString, TNull]>>; email: TOptional<TString> } & FlagFields &
      OptionalFields<WithoutAccess<F, 'readOnly' | 'createOnly'>>
  >
  readonly id: I
  readonly fields: F
}

const optionalFlag = (): TOptional<Flag> => Type.Optional(Type.Union([Type.Boolean(), Type.Null()]))

/**
 * Schemas that {@link userSchemas} created for any custom fields. The compiler checks this type faster than
 * `UserSchemas`, which it compares member by member.
 */
export interface AnyUserSchemas {
  readonly UserRead: TSchema
  readonly UserCreate: TSchema
  readonly UserUpdate: TSchema
  readonly id: IdKind
  readonly fields: UserFields
}

/**
 * Creates the schemas of a user with custom fields. Validation, serialization, types, OpenAPI and table columns are
 * derived from them.
 *
 * Throws `FST_USERS_INVALID_FIELD` for a reserved field name, for a schema that was not created with the exported
 * `Type`, for a marker inside another type, and for a `readOnly` or `adminOnly` field that has neither a `default` nor
 * `Type.Optional`.
 */
export function userSchemas<F extends UserFields = {}, I extends IdKind = IdKind<string, TString>> (
  fields: F = {} as F,
  { id = uuidId() as unknown as I }: { id?: I } = {}
): UserSchemas<F, I> {
  for (const [name, schema] of Object.entries(fields)) checkField(name, schema)
  const flags = { is_active: optionalFlag(), is_superuser: optionalFlag(), is_verified: optionalFlag() }
  const schemas = {
    UserRead: Type.Object(
      {
        id: id.schema,
        email: { ...Email },
        is_active: Type.Boolean(),
        is_superuser: Type.Boolean(),
        is_verified: Type.Boolean(),
        ...fields
      },
      component('UserRead')
    ),
    UserCreate: Type.Object(
      { email: Email, password: Password, ...flags, ...creatable(fields) },
      component('UserCreate')
    ),
    UserUpdate: Type.Object(
      {
        password: Type.Optional(Type.Union([Password, Type.Null()])),
        email: Type.Optional(Email),
        ...flags,
        ...updatable(fields)
      },
      component('UserUpdate')
    ),
    id,
    fields
  }
  return schemas as unknown as UserSchemas<F, I> // the mapped types above describe the same keys
}

/** Type of a user with the schemas `S`, for use in `UsersRegister`. */
export type UserOf<S extends Pick<AnyUserSchemas, 'UserRead'>> = S['UserRead']['static']

function creatable (fields: UserFields): UserFields {
  const entries = Object.entries(fields).filter(([, schema]) => fieldAccess(schema) !== 'readOnly')
  return Object.fromEntries(
    entries.map(([name, schema]) => [name, isFillable(schema) ? Type.Optional(withoutDefault(schema)) : schema])
  )
}

function updatable (fields: UserFields): UserFields {
  const entries = Object.entries(fields).filter(
    ([, schema]) => fieldAccess(schema) === undefined || fieldAccess(schema) === 'adminOnly'
  )
  return Object.fromEntries(entries.map(([name, schema]) => [name, Type.Optional(withoutDefault(schema))]))
}

/**
 * Returns the schema of a body without the default, which is applied later. With a default in the schema, generated
 * clients would treat the field as always present.
 */
function withoutDefault (schema: TSchema): TSchema {
  const { default: _filledIn, ...rest } = schema
  return rest as TSchema // the type does not depend on the removed keyword
}
