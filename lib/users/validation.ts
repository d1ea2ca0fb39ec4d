import { Type, type TSchema } from '@sinclair/typebox'
import type { Ajv, ErrorObject, ValidateFunction } from 'ajv'
import { Email, Password, PASSWORD_MAX_BYTES } from '../../schemas/index.js'
import { FST_USERS_INVALID_USER } from '../errors.js'
import type { Settings } from '../contracts/settings.js'
import packages from '../packages.cjs'
import { explainEmail, parseEmail, parseNewEmail } from './email.js'
import { userModel } from './user-model.js'

/** Maximum depth of a custom field. 16 kB of brackets would exhaust the stack. */
const MAX_DEPTH = 64

/** A problem of a value that does not match its schema. */
export interface Problem {
  path: string
  keyword: string
  message: string
}

/** Returns the validator of a registration. The first call creates it. */
export type LazyAjv = () => Ajv

/** Returns the function that creates the validator of our routes and rules when it is first needed. */
export function createAjvLazily (settings: Pick<Settings, 'allowIntranetEmails'>): LazyAjv {
  let ajv: Ajv | undefined
  return () => (ajv ??= createAjv(settings))
}

/**
 * Returns a validator that coerces and removes nothing. It does not check schemas against the meta-schema, which would
 * take 25 ms. The start already compiles the serializer of `UserRead`, which fails for an invalid schema of a custom
 * field.
 */
function createAjv (settings: Pick<Settings, 'allowIntranetEmails'>): Ajv {
  const ajv = new (packages.loadAjv().Ajv)({
    meta: false,
    validateSchema: false,
    coerceTypes: false,
    removeAdditional: false,
    useDefaults: false,
    allErrors: true,
    strict: false,
    strictNumbers: true
  }) // `1e400` is parsed as Infinity
  packages.loadAjvFormats().default(ajv)
  ajv.addFormat('email', { type: 'string', validate: (text: string) => parseNewEmail(text, settings) !== null })
  ajv.addFormat('idn-email', { type: 'string', validate: (text: string) => parseEmail(text) !== null })
  ajv.addFormat('password', {
    type: 'string',
    validate: (text: string) => text.isWellFormed() && Buffer.byteLength(text) <= PASSWORD_MAX_BYTES
  })
  return ajv
}

/** A validator in the form that Fastify expects. */
export interface LazyValidator {
  (data: unknown): boolean
  errors?: ErrorObject[] | null
}

/**
 * Returns a validator that is compiled when it is first called: starts are quicker, and few processes use every route.
 * Problems with e-mails have their reason as message.
 */
export function compileLazily (
  ajv: LazyAjv,
  schema: object,
  settings: Pick<Settings, 'allowIntranetEmails'>
): LazyValidator {
  let compiled: ValidateFunction | undefined
  const validate: LazyValidator = (data) => {
    compiled ??= ajv().compile(schema)
    const fits = compiled(data)
    validate.errors = compiled.errors ?? null
    for (const error of validate.errors ?? []) {
      const reason = isEmailProblem(error) ? explainEmail(valueAt(data, error.instancePath), settings) : null
      if (reason !== null) error.message = reason
    }
    return fits
  }
  return validate
}

function isEmailProblem ({ keyword, params }: ErrorObject): boolean {
  const { format } = params as { format?: string }
  return keyword === 'format' && (format === 'email' || format === 'idn-email')
}

/** Returns the text at a JSON pointer (RFC 6901). */
function valueAt (data: unknown, pointer: string): string {
  const keys = pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
  return String(keys.reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], data))
}

/** Returns the problems of a validation, without the values. */
export function problemsOf (errors: readonly ErrorObject[]): Problem[] {
  return errors.map(({ instancePath, keyword, message, params }) => ({
    path:
      keyword === 'required'
        ? `${instancePath}/${String((params as { missingProperty?: string }).missingProperty)}`
        : instancePath,
    keyword,
    message: message ?? 'is not valid'
  }))
}

/** Checks values before they are written to a user. Throws `FST_USERS_INVALID_USER` with the problems. */
export type UserCheck = (values: object) => void

export function createUserCheck (ajv: LazyAjv, settings: Pick<Settings, 'allowIntranetEmails' | 'schemas'>): UserCheck {
  const { schemas } = settings
  const flag = Type.Optional(Type.Union([Type.Boolean(), Type.Null()]))
  const custom = Object.fromEntries(
    Object.entries(schemas.fields).map(([name, schema]) => [name, Type.Optional(schema)])
  )
  const schema = Type.Object({
    email: Type.Optional(Email),
    password: Type.Optional(Type.Union([Password, Type.Null()])),
    is_active: flag,
    is_superuser: flag,
    is_verified: flag,
    ...custom
  } satisfies Record<string, TSchema>)
  // compiled now, so that a custom field with an invalid schema stops the start; Ajv keeps the result
  if (Object.keys(custom).length > 0) ajv().compile(schema)
  const validate = compileLazily(ajv, schema, settings)

  const { fields } = userModel(schemas)

  return (values) => {
    // Ajv always sets errors if validation fails
    if (!validate(values)) throw invalidUser(problemsOf(validate.errors as ErrorObject[]))
    for (const [name, value] of Object.entries(values)) {
      if (!Object.hasOwn(custom, name)) continue
      if (fields[name]?.type === 'integer' && typeof value === 'number' && !Number.isSafeInteger(value)) {
        throw invalidUser([
          { path: `/${name}`, keyword: 'type', message: 'must be an integer that every store keeps exactly (53 bits)' }
        ])
      }
      if (!isStorable(value)) {
        throw invalidUser([
          {
            path: `/${name}`,
            keyword: 'text',
            message: `must be finite numbers and well-formed Unicode without NUL, nested ${MAX_DEPTH} levels at most`
          }
        ])
      }
    }
  }
}

/** Returns the error for values that do not match the user's schema. */
export function invalidUser (problems: readonly Problem[]): Error {
  return FST_USERS_INVALID_USER([problems.map(({ path, message }) => `${path} ${message}`).join('; ')], {
    detail: problems
  })
}

/**
 * Returns true for text and numbers that every store keeps unchanged (JSON has no infinite numbers), nested at most
 * `MAX_DEPTH` levels.
 */
function isStorable (value: unknown, depth = 0): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\0')
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || value === null) return true
  return (
    depth < MAX_DEPTH && Object.entries(value).every(([key, inner]) => isStorable(key) && isStorable(inner, depth + 1))
  )
}
