/** Gives the reason why a value is refused, or null. */
export type OptionCheck = (value: unknown) => string | null

/** Text that is not empty. */
export function text (value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? null : 'must be text that is not empty'
}

/** True or false. */
export function flag (value: unknown): string | null {
  return typeof value === 'boolean' ? null : 'must be true or false'
}

/** A function. */
export function callable (value: unknown): string | null {
  return typeof value === 'function' ? null : 'must be a function'
}

/** An absolute web address: the engine decides whether it may be http. */
export function address (value: unknown): string | null {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null
  const isPlain =
    url !== null && ['http:', 'https:'].includes(url.protocol) && url.username + url.password + url.hash === ''
  return isPlain ? null : 'must be an absolute address, such as https://login.example.com'
}

/** An option that does not exist here. */
export function absent (): null {
  return null
}

/** One of some words. */
export function oneOf (...words: readonly string[]): OptionCheck {
  return (value) => (typeof value === 'string' && words.includes(value) ? null : `must be one of: ${words.join(', ')}`)
}

/** Text of a form. */
export function matches (pattern: RegExp, reason: string): OptionCheck {
  return (value) => (typeof value === 'string' && pattern.test(value) ? null : reason)
}

/** May be left out. */
export function optional (check: OptionCheck): OptionCheck {
  return (value) => (value === undefined ? null : check(value))
}

/** An object that is no list. */
export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
