/**
 * Login with a link or a code that is sent by e-mail.
 *
 * @module fastify-users/email-login
 */

import { defineFeature, type Feature } from '../../feature/index.js'
import type { EmailLoginApi } from './contracts.js'
import { emailLoginErrors } from './errors.js'
import { emailLoginEvents } from './events.js'
import { emailLoginModel } from './model.js'
import { readLoginBackends, resolveEmailLoginOptions, type EmailLoginOptions } from './options.js'
import { emailLoginRoutes } from './routes.js'
import { createEmailLogin } from './service.js'

export { emailLoginErrors } from './errors.js'
export type * from './contracts.js'
export type { EmailLoginOptions } from './options.js'

declare module '../../contracts/feature.js' {
  interface UsersFeatures {
    'email-login': EmailLoginApi
  }
}

/**
 * Creates the feature for logins by e-mail: `POST /auth/<backend>/email` sends a link, a code or both, and
 * `POST /auth/<backend>/email/confirm` logs in. A login verifies the e-mail. Second factors follow as after a password.
 * An invalid option stops the start with a coded error.
 *
 * @example
 * await app.register(users, { adapter, secret, backends, publicUrl, mail, features: [emailLogin({ signUp: true })] })
 */
export function emailLogin (options: EmailLoginOptions = {}): Feature<EmailLoginApi> {
  const settings = resolveEmailLoginOptions(options)
  return defineFeature<EmailLoginApi>({
    name: 'email-login',
    models: () => [emailLoginModel],
    errors: emailLoginErrors.definitions,
    events: emailLoginEvents,
    setup (kit) {
      const backends = readLoginBackends(options, kit)
      const { requests, ...logins } = createEmailLogin(kit, settings, backends)
      return {
        sessions: {
          async ended (user, which) {
            if (which === 'all') await requests.removeOf(user)
          }
        },
        async routes (scope) {
          const { enabled, prefix } = kit.settings.routes.auth
          for (const name of enabled ? backends : []) {
            const backend = kit.users.backends.get(name)
            if (backend === undefined) continue // readLoginBackends has checked the names
            const signsUp = settings.signUp !== null
            await scope.register(emailLoginRoutes, { prefix: `${prefix}/${name}`, kit, backend, logins, signsUp })
          }
        },
        api: logins
      }
    }
  })
}
export default emailLogin
