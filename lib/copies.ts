import { FST_USERS_NOT_REGISTERED, FST_USERS_TWO_COPIES } from './errors.js'
import { kVersion } from './symbols.js'
import { VERSION } from './version.js'

/** Returns the error for an instance without our plugin, which another version of the package may have registered. */
export function notRegistered (instance: object): Error {
  return otherCopy(instance) ?? FST_USERS_NOT_REGISTERED()
}

/** Returns an error if another version of the package registered users on the instance; undefined otherwise. */
export function otherCopy (instance: object): Error | undefined {
  const { [kVersion]: registered } = instance as { [kVersion]?: string }
  return registered === undefined || registered === VERSION ? undefined : FST_USERS_TWO_COPIES([registered, VERSION])
}
