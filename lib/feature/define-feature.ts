import type { Feature } from '../contracts/feature.js'
import { kVersion } from '../symbols.js'
import { VERSION } from '../version.js'

/**
 * Returns the feature, marked with the version of this package. The plugin refuses features that use another installed
 * version of the package with `FST_USERS_TWO_COPIES`.
 *
 * @example
 * export const notes = defineFeature({ name: 'notes', setup: (kit) => ({ … }) })
 */
export function defineFeature<Api> (feature: Feature<Api>): Feature<Api> {
  return Object.assign({ ...feature }, { [kVersion]: VERSION })
}
