import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import users, {
  adminOnly,
  authenticate,
  bearerTransport,
  cookieTransport,
  currentUser,
  databaseStrategy,
  jwtStrategy,
  userSchemas,
  type UserOf,
  type UsersOptions
} from 'fastify-users'
import { account } from 'fastify-users/account'
import { apiKeys } from 'fastify-users/api-keys'
import { altcha } from 'fastify-users/captcha'
import { emailLogin } from 'fastify-users/email-login'
import { passkeys } from 'fastify-users/passkeys'
import { recoveryCodes } from 'fastify-users/recovery-codes'
import { roles } from 'fastify-users/roles'
import { sessions } from 'fastify-users/sessions'
import { sqlite } from 'fastify-users/sqlite'
import { totp } from 'fastify-users/totp'
import { addAccountPage } from './account-page.js'
import { addApiPage, describeRoute } from './api-page.js'
import { addPages } from './pages.js'
import { addPasskeyPage } from './passkey-page.js'
import { addQuestRoutes, exampleRoles, keyScopes } from './quests.js'
import { addStepUpScript } from './step-up.js'
import { addTotpPage } from './totp-page.js'

/** Custom fields: users can change their display name, only superusers can change credits. */
const schemas = userSchemas({
  display_name: Type.String({ maxLength: 80, default: 'stranger' }),
  credits: adminOnly(Type.Integer({ default: 0 }))
})

declare module 'fastify-users' {
  interface UsersRegister {
    user: UserOf<typeof schemas>
  }
}

/** A mail with a token or, for a login, a code. */
export interface Mail {
  to: string
  purpose: 'reset' | 'verify' | 'login'
  token: string
}

export interface AppOptions {
  /** Path of the SQLite file. */
  file: string
  secret: string
  /** Registration needs a captcha. Default false. */
  captcha?: boolean
  /** Origin of the pages, for passkeys. Default: none, and no passkeys. */
  publicUrl?: string
  /** Receives each token. The server prints commands that use it. */
  sendMail(mail: Mail): void | Promise<void>
  /** Mails of the plugin. Default: none. */
  mail?: NonNullable<UsersOptions['mail']>
}

/** Builds an application with a bearer token backend, a cookie backend, and routes with different guards. */
export async function buildApp (
  { file, secret, captcha = false, publicUrl, sendMail, mail }: AppOptions
): Promise<FastifyInstance> {
  const app = Fastify({ logger: { level: 'warn' } })

  const options: UsersOptions = {
    adapter: sqlite(file),
    secret,
    schemas,
    backends: [
      { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
      { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 86_400 }) }
    ],
    features: [
      totp({ issuer: 'Camelot' }),
      recoveryCodes(),
      sessions({ backends: { cookie: { idleSeconds: 3600, rememberMe: {} } } }),
      emailLogin(),
      account({ deletionDelaySeconds: 30 * 86_400 }),
      roles({ roles: exampleRoles }),
      apiKeys({ scopes: keyScopes, prefix: 'camelot' }),
      ...(publicUrl === undefined ? [] : [passkeys({ rpName: 'Round Table', signUp: true })])
    ],
    ...(publicUrl === undefined ? {} : { publicUrl }),
    hooks: {
      onAfterForgotPassword: ({ user, token }) => sendMail({ to: user.email, purpose: 'reset', token }),
      onAfterRequestVerify: ({ email, token }) => sendMail({ to: email, purpose: 'verify', token }),
      onAfterRequestEmailLogin: ({ email, code }) => sendMail({ to: email, purpose: 'login', token: String(code) })
    },
    ...(mail === undefined ? {} : { mail }),
    openapiSecurity: true,
    ...(captcha ? { captcha: { provider: altcha(), for: ['register'] } } : {})
  }
  await addApiPage(app, options)
  await app.register(users, options)
  addPages(app)
  addStepUpScript(app)
  addAccountPage(app)
  addTotpPage(app)
  if (publicUrl !== undefined) addPasskeyPage(app)

  app.get(
    '/hello',
    { preHandler: authenticate, schema: describeRoute('hello', 'For logged-in users') },
    async (request) => ({ hello: currentUser(request).display_name })
  )
  app.get(
    '/admin',
    { preHandler: authenticate({ superuser: true }), schema: describeRoute('admin', 'For superusers') },
    async (request) => ({ admin: currentUser(request).email })
  )
  app.get(
    '/feed',
    {
      preHandler: authenticate({ optional: true }),
      schema: describeRoute('feed', 'For all visitors, with the user if one is logged in')
    },
    async ({ user }) => ({ feed: user === null ? 'for all visitors' : `for ${user.display_name}` })
  )
  addQuestRoutes(app)
  return app
}
