import { checkBoolean, checkKnownKeys, checkObject, checkOption } from '../../feature/index.js'

/** Options of `account`. */
export interface AccountOptions {
  /**
   * Seconds between a user's request and the deletion of the account, at most 31 536 000 (one year). In the meantime
   * the account is deactivated, and the link of a mail undoes the request. Default 0: the account is deleted at once.
   */
  deletionDelaySeconds?: number
  /** Registers the routes. Default: both. */
  routes?: { delete?: boolean; export?: boolean }
}

/** Checked options. */
export interface AccountSettings {
  readonly delayMs: number
  readonly hasDeleteRoute: boolean
  readonly hasExportRoute: boolean
}

const MAX_DELAY = 31_536_000

/** Checks the options. Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`. */
export function resolveAccountOptions (options: AccountOptions): AccountSettings {
  checkObject('account', options)
  checkKnownKeys('account.', options, ['deletionDelaySeconds', 'routes'])
  const { deletionDelaySeconds: seconds = 0, routes = {} } = options
  const isDelay = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= MAX_DELAY
  checkOption('account.deletionDelaySeconds', seconds, isDelay, `must be a whole number from 0 to ${MAX_DELAY}`)
  checkObject('account.routes', routes)
  checkKnownKeys('account.routes.', routes, ['delete', 'export'])
  return {
    delayMs: seconds * 1000,
    hasDeleteRoute: checkBoolean('account.routes.delete', routes.delete, true),
    hasExportRoute: checkBoolean('account.routes.export', routes.export, true)
  }
}
