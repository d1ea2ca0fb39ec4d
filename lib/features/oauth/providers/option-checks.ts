/** Checks an option: returns the reason why its value is refused, or null. */
export type OptionCheck = (value: unknown) => string | null

/** Checks that the value is a string that is not empty. */
export function text (value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? null : 'must be a string that is not empty'
}

/** Checks that the value is true or false. */
export function flag (value: unknown): string | null {
  return typeof value === 'boolean' ? null : 'must be true or false'
}

/** Checks that the value is a function. */
export function callable (value: unknown): string | null {
  return typeof value === 'function' ? null : 'must be a function'
}

/** Checks for an absolute http or https URL. The plugin decides later whether it accepts http. */
export function webUrl (value: unknown): string | null {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null
  const isPlain =
    url !== null && ['http:', 'https:'].includes(url.protocol) && url.username + url.password + url.hash === ''
  return isPlain ? null : 'must be an absolute URL, such as https://login.example.com'
}

/** Marks a common option that the provider does not have. */
export function unsupported (): null {
  return null
}

/** Returns a check that the value is one of these strings. */
export function oneOf (...words: readonly string[]): OptionCheck {
  return (value) => (typeof value === 'string' && words.includes(value) ? null : `must be one of: ${words.join(', ')}`)
}

/** Returns a check that the value is a string that matches a pattern. */
export function textMatching (pattern: RegExp, reason: string): OptionCheck {
  return (value) => (typeof value === 'string' && pattern.test(value) ? null : reason)
}

/** Returns a check that also accepts undefined. */
export function optional (check: OptionCheck): OptionCheck {
  return (value) => (value === undefined ? null : check(value))
}
