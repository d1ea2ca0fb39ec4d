import { FST_USERS_UNKNOWN_OPTION } from '../../errors.js'

/** Throws `FST_USERS_UNKNOWN_OPTION` for a property that is not in `known`. */
export function checkKeys (path: string, given: object, known: readonly string[]): void {
  const unknown = Object.keys(given).find((key) => !known.includes(key))
  if (unknown !== undefined) {
    throw FST_USERS_UNKNOWN_OPTION([path === '' ? unknown : `${path}.${unknown}`, known.join(', ')])
  }
}
