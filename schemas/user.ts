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
import { oauthAccountRead } from './oauth.js'

/** The schemas of custom fields, by name. */
export type UserFields = TProperties
type Unmarked<F extends UserFields> = { [K in keyof F as F[K] extends Marked<FieldAccess> ? never : K]: F[K] }
type WithoutAccess<F extends UserFields, A extends FieldAccess> = {
  [K in keyof F as F[K] extends Marked<A> ? never : K]: F[K]
}
/** Of no certain fields: whatever they are, so that every `UserSchemas` is one. */
type OptionalFields<F extends UserFields> = string extends keyof F ? F : { [K in keyof F]: TOptional<F[K]> }
type Marks<F extends UserFields, A extends FieldAccess> = { [K in keyof F as F[K] extends Marked<A> ? K : never]: F[K] }

type Flag = TUnion<[TBoolean, TNull]>
// no interface: its index signature would swallow the other fields
type FlagFields = { is_active: TOptional<Flag>; is_superuser: TOptional<Flag>; is_verified: TOptional<Flag> }

/** What {@link userSchemas} returns: the schemas of the routes, and what the rules and adapters need of them. */
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

const flag = (): TOptional<Flag> => Type.Optional(Type.Union([Type.Boolean(), Type.Null()]))

/**
 * What {@link userSchemas} returned, whatever the fields: cheap for the compiler, unlike `UserSchemas`, which it
 * compares member by member.
 */
export interface AnyUserSchemas {
  readonly UserRead: TSchema
  readonly UserCreate: TSchema
  readonly UserUpdate: TSchema
  readonly id: IdKind
  readonly fields: UserFields
}

/**
 * The schemas of a user with custom fields. They are the one definition of a user: validation, serialisation,
 * types, OpenAPI and table columns follow from them. Throws `FST_USERS_INVALID_FIELD` for a field name that is taken,
 * for a
 * schema that was not made with our `Type`, for a marker inside another type, and for a marked field that no route
 * fills and
 * that has neither a `default` nor `Type.Optional`. With `oauthAccounts` our
 * routes tell the linked accounts of the user that they reply with; `request.user` does not have them.
 */
export function userSchemas<F extends UserFields = {}, I extends IdKind = IdKind<string, TString>> (
  fields: F = {} as F,
  { id = uuidId() as unknown as I, oauthAccounts = false }: { id?: I; oauthAccounts?: boolean } = {}
): UserSchemas<F, I> {
  for (const [name, schema] of Object.entries(fields)) checkField(name, schema)
  const flags = { is_active: flag(), is_superuser: flag(), is_verified: flag() }
  const schemas = {
    UserRead: Type.Object(
      {
        ...(oauthAccounts ? { oauth_accounts: Type.Optional(Type.Array(oauthAccountRead(id))) } : {}),
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
  return schemas as unknown as UserSchemas<F, I> // the mapped types above say the same, key by key
}

/** The type of a user with the schemas `S`: what `UsersRegister` takes. */
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
 * The rules fill in what is absent; a default in the schema of a body would tell generated clients that it never is.
 */
function withoutDefault (schema: TSchema): TSchema {
  const { default: _filledIn, ...rest } = schema
  return rest as TSchema // the same schema, less one keyword
}
