/** Status, message and reply data of one error code. */
export interface ErrorDefinition {
  /** Status of the reply, 400 to 599. A 500 is for the developer: its message is logged and never sent. */
  readonly statusCode: number
  /** `%s` is replaced by the arguments of the factory. */
  readonly message: string
  /** Value of `detail` in the reply; default: the code without the prefix. */
  readonly detail?: string
  /** Example of `detail` in the API document, if the replies contain more than a word. */
  readonly example?: unknown
}

/** Errors by their code without the prefix `FST_USERS_`, such as `TOTP_INVALID_CODE`. */
export type ErrorDefinitions = Readonly<Record<string, ErrorDefinition>>

/** The errors of one registration, those of its features included, by their code without the prefix. */
export type ErrorRegistry = ReadonlyMap<string, ErrorDefinition>

/**
 * The codes of all errors, as keys. Features add their codes by interface merging:
 *
 * @example
 * declare module 'fastify-users' {
 *   interface UsersErrorCodes extends ErrorCodesOf<typeof totpErrors> {}
 * }
 */
export interface UsersErrorCodes {}

/** The codes of all errors of the package and of the imported features, for example for `switch`. */
export type UsersErrorCode = keyof UsersErrorCodes & string

/** The code of an error without its prefix. */
export type WordOf<Code> = Code extends `FST_USERS_${infer Word}` ? Word : never

/** An error of the package or of a feature, with its code, HTTP status and reply data. */
export interface UsersError extends Error {
  readonly code: UsersErrorCode
  readonly statusCode: number
  /** Value of `detail` in the reply: usually the code without `FST_USERS_`, sometimes an object with more data. */
  readonly detail: unknown
  /** Additional headers of the reply, such as `www-authenticate` or `retry-after`. */
  readonly headers?: Record<string, string>
  /** Fields whose values another row has; only for `FST_USERS_UNIQUE_VIOLATION`. */
  readonly fields?: readonly string[]
}

/** Optional properties of an error, besides its code, status and message. */
export interface UsersErrorExtras {
  detail?: unknown
  headers?: Record<string, string>
  fields?: readonly string[]
  cause?: unknown
}

/** Creates an error with a fixed code. `args` replace the `%s` in its message. */
export type UsersErrorFactory = (args?: readonly string[], extras?: UsersErrorExtras) => UsersError

/** The errors of a feature: their definitions, and a factory for each code. */
export type DefinedErrors<D> = { readonly definitions: D } & {
  readonly [Word in keyof D & string as `FST_USERS_${Word}`]: UsersErrorFactory
}

/** The codes of `defineErrors(…)` as keys, for the interface `UsersErrorCodes`. */
export type ErrorCodesOf<E extends { readonly definitions: object }> = {
  readonly [Word in keyof E['definitions'] & string as `FST_USERS_${Word}`]: true
}

/** One row of `errorTable()`. */
export interface ErrorTableEntry {
  code: UsersErrorCode
  statusCode: number
  message: string
  detail: string
}
