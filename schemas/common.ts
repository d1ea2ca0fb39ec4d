import { Type } from '@sinclair/typebox'

/** Keyword of a schema that stands in the API document under a name of its own. */
export const COMPONENT = 'x-component'

/** Keyword of such a schema for an error reply: the codes that it can have in its place. */
export const CODES = 'x-codes'

/** Options of such a schema. */
export const component = (name: string): { title: string; [COMPONENT]: string } => ({ title: name, [COMPONENT]: name })

/** Longest e-mail address that is stored, in characters (the column's width). */
export const EMAIL_MAX_LENGTH = 320

/** Longest password that is looked at, in UTF-8 bytes. */
export const PASSWORD_MAX_BYTES = 1024

/** Longest token that is looked at, in characters. */
export const TOKEN_MAX_LENGTH = 8192

/** An e-mail that a user gets: one plain addr-spec (RFC 5321, section 4.1.2), internationalised domains included. */
export const Email = Type.String({ format: 'email', maxLength: EMAIL_MAX_LENGTH, examples: ['king.arthur@camelot.bt'] })

/**
 * An e-mail that a user may have already: older rules, or those of another program, allowed more (JSON Schema's format
 * for RFC 6531).
 */
export const KnownEmail = Type.String({
  format: 'idn-email',
  maxLength: EMAIL_MAX_LENGTH,
  examples: ['king.arthur@camelot.bt']
})

/** A password: any well-formed Unicode text; the password policy decides about its strength. */
export const Password = Type.String({ format: 'password', maxLength: PASSWORD_MAX_BYTES, examples: ['guinevere-1'] })

/** A reset or verify token, as the hook received it. */
export const Token = Type.String({ minLength: 1, maxLength: TOKEN_MAX_LENGTH })
