import type { Backend, FeatureKit } from '../../feature/index.js'
import type { BrowserBinding } from './browser.js'
import type { Codes } from './code.js'
import type { EmailLoginSettings } from './options.js'
import type { StoredRequests } from './requests.js'

/** The parts of the started feature. */
export interface EmailLoginParts {
  readonly kit: FeatureKit
  readonly settings: EmailLoginSettings
  readonly requests: StoredRequests
  readonly codes: Codes
  readonly browsers: BrowserBinding
  /** Returns a backend with the routes of the feature. Throws `FST_USERS_UNKNOWN_BACKEND`. */
  backendNamed(name: string): Backend
}
