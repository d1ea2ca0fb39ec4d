import type { DescribedError } from '../contracts/wire-format.js'

/** Media types of forms. */
export const FORM_TYPES = ['application/x-www-form-urlencoded', 'multipart/form-data'] as const

/** Returns the codes of errors as the description of a response. */
export function codesOf (errors: readonly DescribedError[]): string {
  return errors.map(({ code }) => code).join(', ')
}

/** Returns the examples of a response: one for each error. */
export function errorExamples (errors: readonly DescribedError[], valueOf: (error: DescribedError) => object): object {
  return Object.fromEntries(errors.map((error) => [error.code, { summary: error.message, value: valueOf(error) }]))
}
