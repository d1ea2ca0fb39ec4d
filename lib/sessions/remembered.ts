import type { Session } from '../contracts/session.js'

const REMEMBERED: Session['details'] = { remember_me: true }
const NONE: Session['details'] = {}

/** Returns the details of the session of a login. */
export function detailsOf (isRemembered: boolean): Session['details'] {
  return isRemembered ? REMEMBERED : NONE
}

/** Returns true if the user asked for a longer session at the login. */
export function isRemembered ({ details }: Pick<Session, 'details'>): boolean {
  return details['remember_me'] === true
}
