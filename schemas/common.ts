import { Type, type TUnsafe } from '@sinclair/typebox'

/** Keyword with the component name of a schema in the API document. */
export const COMPONENT = 'x-component'

/** Keyword with the codes that an error reply can have at one status of one route. */
export const CODES = 'x-codes'

/** Keyword of a route whose body may be missing. */
export const OPTIONAL_BODY = 'x-optional-body'

/** Returns the schema options of a component with this name. */
export const component = (name: string): { title: string; [COMPONENT]: string } => ({ title: name, [COMPONENT]: name })

/** Maximum length of an e-mail in characters, which is the width of its column. */
export const EMAIL_MAX_LENGTH = 320

/** Maximum length of a password in UTF-8 bytes. */
export const PASSWORD_MAX_BYTES = 1024

/** Maximum length of a token in characters. */
export const TOKEN_MAX_LENGTH = 8192

/** E-mail of a new user or a changed e-mail: a plain addr-spec (RFC 5321, section 4.1.2), also with an IDN domain. */
export const Email = Type.String({ format: 'email', maxLength: EMAIL_MAX_LENGTH, examples: ['king.arthur@camelot.bt'] })

/**
 * E-mail of an existing user. It follows a wider format (`idn-email` of JSON Schema, RFC 6531), because another program
 * may have stored it.
 */
export const KnownEmail = Type.String({
  format: 'idn-email',
  maxLength: EMAIL_MAX_LENGTH,
  examples: ['king.arthur@camelot.bt']
})

/** Password: any well-formed Unicode text. The password policy checks its strength. */
export const Password = Type.String({ format: 'password', maxLength: PASSWORD_MAX_BYTES, examples: ['guinevere-1'] })

/** Reset token or verify token, as passed to the hook. */
export const Token = Type.String({ minLength: 1, maxLength: TOKEN_MAX_LENGTH })

/** The value of a checkbox: a boolean in JSON, and a text in a form. */
export type Checkbox = boolean | 'true' | 'false' | 'on'

/** Returns the schema of a checkbox. */
export function checkbox (description: string): TUnsafe<Checkbox> {
  return Type.Unsafe<Checkbox>({ enum: [true, false, 'true', 'false', 'on'], description })
}

/** Returns true for a checkbox that is checked. */
export function isChecked (value: unknown): boolean {
  return value === true || value === 'true' || value === 'on'
}
