import { Type, type TSchema } from '@sinclair/typebox'
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import addFormatsModule from 'ajv-formats'
import { Email, Password, PASSWORD_MAX_BYTES, type UserSchemas } from '../../schemas/index.js'
import { FST_USERS_INVALID_USER } from '../errors.js'
import { normalizeEmail } from './email.js'
import { userModel } from './user-model.js'

const addFormats = addFormatsModule.default     // the package is CommonJS

/** How deep a custom field may nest: 16 kB of brackets would exhaust the stack. */
const MAX_DEPTH = 64

/** A problem of a value that does not fit its schema. */
export interface Problem { path: string, keyword: string, message: string }

/**
 * The validator of our routes and rules: nothing is coerced and nothing is removed. It does not check schemas by the
 * meta-schema (some 25 ms): Fastify does when it compiles `UserRead`, which has every custom field.
 */
export function createAjv (): Ajv {
  const ajv = new Ajv({ meta: false, validateSchema: false, coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: true, strict: false })
  addFormats(ajv)
  ajv.addFormat('email', { type: 'string', validate: (text: string) => normalizeEmail(text) !== null })
  ajv.addFormat('password', { type: 'string', validate: (text: string) => text.isWellFormed() && Buffer.byteLength(text) <= PASSWORD_MAX_BYTES })
  return ajv
}

/** A validator as Fastify wants it. */
export interface LateValidator { (data: unknown): boolean, errors?: ErrorObject[] | null }

/** A validator that is compiled when it is first called: starts are quicker, and few processes use every route. */
export function compileLater (ajv: Ajv, schema: object): LateValidator {
  let compiled: ValidateFunction | undefined
  const validate: LateValidator = (data) => {
    compiled ??= ajv.compile(schema)
    const fits = compiled(data)
    validate.errors = compiled.errors ?? null
    return fits
  }
  return validate
}

/** The problems of a validation, without the values. */
export function problemsOf (errors: readonly ErrorObject[]): Problem[] {
  return errors.map(({ instancePath, keyword, message, params }) => ({
    path: keyword === 'required' ? `${instancePath}/${String((params as { missingProperty?: string }).missingProperty)}` : instancePath,
    keyword,
    message: message ?? 'is not valid'
  }))
}

/** Checks what is written to a user, whoever writes. Throws `FST_USERS_INVALID_USER` with the problems. */
export type UserCheck = (values: object) => void

export function createUserCheck (ajv: Ajv, schemas: UserSchemas): UserCheck {
  const flag = Type.Optional(Type.Union([Type.Boolean(), Type.Null()]))
  const custom = Object.fromEntries(Object.entries(schemas.fields).map(([name, schema]) => [name, Type.Optional(schema)]))
  const schema = Type.Object({
    email: Type.Optional(Email),
    password: Type.Optional(Type.Union([Password, Type.Null()])),
    is_active: flag,
    is_superuser: flag,
    is_verified: flag,
    ...custom
  } satisfies Record<string, TSchema>)
  if (Object.keys(custom).length > 0) ajv.compile(schema)     // a field that cannot be compiled stops the start; the result is kept
  const validate = compileLater(ajv, schema)

  const { fields } = userModel(schemas)

  return (values) => {
    if (!validate(values)) throw invalidUser(problemsOf(validate.errors as ErrorObject[]))     // what does not fit has some
    for (const [name, value] of Object.entries(values)) {
      if (!Object.hasOwn(custom, name)) continue
      if (fields[name]?.type === 'integer' && typeof value === 'number' && !Number.isSafeInteger(value)) throw invalidUser([{ path: `/${name}`, keyword: 'type', message: 'must be an integer that every store keeps exactly (53 bits)' }])
      if (!isStorable(value)) throw invalidUser([{ path: `/${name}`, keyword: 'text', message: `must be well-formed Unicode without NUL, nested ${MAX_DEPTH} levels at most` }])
    }
  }
}

/** The error for values that do not fit a user's schema. */
export function invalidUser (problems: readonly Problem[]): Error {
  return FST_USERS_INVALID_USER([problems.map(({ path, message }) => `${path} ${message}`).join('; ')], { detail: problems })
}

/** Text that every store keeps as it is, and data that no reader's stack is too small for. */
function isStorable (value: unknown, depth = 0): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\0')
  if (typeof value !== 'object' || value === null) return true
  return depth < MAX_DEPTH && Object.entries(value).every(([key, inner]) => isStorable(key) && isStorable(inner, depth + 1))
}
