import { authenticate } from '../authentication/index.js'
import type { Settings } from '../contracts/settings.js'

type UserGuard = ReturnType<typeof authenticate>

/** Creates the guard of the routes for the own account. The option `routes.users` may ask for a verified e-mail. */
export function ownAccountGuard ({ routes }: Settings): UserGuard {
  return authenticate({ verified: routes.users.requireVerification })
}

/** Creates the guard of the routes with which superusers manage other users. */
export function superuserGuard ({ routes }: Settings): UserGuard {
  return authenticate({ superuser: true, verified: routes.users.requireVerification })
}
