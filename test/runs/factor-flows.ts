import type { LightMyRequestResponse } from 'fastify'
import { account } from '../../lib/features/account/index.js'
import { emailLogin } from '../../lib/features/email-login/index.js'
import { passkeys } from '../../lib/features/passkeys/index.js'
import { refreshTokens } from '../../lib/features/refresh-tokens/index.js'
import { sessions } from '../../lib/features/sessions/index.js'
import type { UserId, UsersOptions } from '../../lib/index.js'
import { manualClock } from '../../lib/testing/index.js'
import { createAuthenticator, type Authenticator } from '../helpers/authenticator.js'
import { ORIGIN } from '../helpers/browser.js'
import { ARTHUR, PASSWORD } from '../helpers/build-app.js'
import { verifyArthur, type Flow, type FlowApp } from '../helpers/flows.js'
import { oneTimePassword } from '../helpers/one-time-password.js'
import type { Assertion, Creation } from '../helpers/passkey-app.js'
import { browserOf, RECOVERY, TOTP, totpFeatures, type Begun } from '../helpers/totp-app.js'

type Headers = Record<string, string>
type Send = () => Promise<LightMyRequestResponse>

/** An authenticator app of Arthur, and the session that added it. */
interface App {
  code(): string
  codes: string[]
  headers: Headers
}

const AGAIN = '/auth/cookie/reauthenticate'
const withPasskeys = (): Partial<UsersOptions> => ({ publicUrl: ORIGIN, features: [passkeys()] })

/** Flows with second factors, sessions, refresh tokens and deletions. */
export function factorFlows (): Record<string, Flow> {
  // it moves only between two codes of an app
  const clock = manualClock(Date.UTC(2030, 0, 1))
  const withApp = { clock, features: totpFeatures() }
  const codeOf = (secret: string): string => oneTimePassword(secret, clock())
  /** Ids of the users whose logins require a second factor. */
  const demanded = new Set<string>()
  const secondFactors: UsersOptions['secondFactors'] = { required: ({ user: { id } }) => demanded.has(String(id)) }

  async function begin ({ send }: FlowApp, headers: Headers): Promise<Begun> {
    return (await send('POST', TOTP, undefined, headers)).json<Begun>()
  }
  /** Adds an app to Arthur, who has a verified e-mail, and moves to the next code. */
  async function enrol (round: FlowApp): Promise<App> {
    await verifyArthur(round)
    const { enrolment, secret } = await begin(round, round.session)
    const reply = await round.send('POST', `${TOTP}/confirm`, { enrolment, code: codeOf(secret) }, round.session)
    clock.tick(30)
    const { recovery_codes: codes } = reply.json<{ recovery_codes: string[] }>()
    return { code: () => codeOf(secret), codes, headers: browserOf(reply) }
  }
  /** Makes logins of Arthur require a second factor, and logs in to the step that adds one. */
  async function demand (round: FlowApp): Promise<Detail> {
    await verifyArthur(round)
    demanded.add(round.id)
    return detailOf(await round.login('jwt', ARTHUR))
  }
  /** Logs in to the steps of a backend. Returns the request that answers one. */
  async function toStep (round: FlowApp, backend: string, step: string, body: object): Promise<Send> {
    const pending = await round.login(backend, ARTHUR)
    const { ticket } = detailOf(pending)
    return () => round.send('POST', `/auth/${backend}/login/${step}`, { ticket, ...body }, browserOf(pending))
  }

  return {
    'begin to add an app': {
      async prepare (round) {
        await verifyArthur(round)
        return () => round.send('POST', TOTP, undefined, round.session)
      },
      success: 201,
      options: withApp
    },
    'add an app': {
      async prepare (round) {
        await verifyArthur(round)
        const { enrolment, secret } = await begin(round, round.session)
        const body = { enrolment, code: codeOf(secret) }
        round.acting = { ...round.session }
        return () => round.send('POST', `${TOTP}/confirm`, body, round.session)
      },
      success: 201,
      ends: ['own'],
      options: withApp
    },
    'log in to the code of an app': {
      async prepare (round) {
        await enrol(round)
        return () => round.login('cookie', ARTHUR)
      },
      success: 403,
      options: withApp
    },
    'log in by jwt with an app': {
      prepare: async (round) => await toStep(round, 'jwt', 'totp', { code: (await enrol(round)).code() }),
      success: 200,
      options: withApp
    },
    'log in by cookie with an app': {
      prepare: async (round) => await toStep(round, 'cookie', 'totp', { code: (await enrol(round)).code() }),
      success: 204,
      options: withApp
    },
    'log in and trust the device': {
      async prepare (round) {
        const { code } = await enrol(round)
        return await toStep(round, 'cookie', 'totp', { code: code(), trust_device: true })
      },
      success: 204,
      options: { ...withApp, secondFactors: { trustedDevices: {} } }
    },
    'log in from a trusted device': {
      async prepare (round) {
        const { code } = await enrol(round)
        const trusting = await toStep(round, 'cookie', 'totp', { code: code(), trust_device: true })
        const { cookie = '' } = browserOf(await trusting())
        const [trusted = ''] = cookie.split('; ').filter((pair) => pair.includes('-trusted='))
        const json = { username: ARTHUR, password: PASSWORD }
        return () => round.send('POST', '/auth/cookie/login', json, { cookie: trusted })
      },
      success: 204,
      options: { ...withApp, secondFactors: { trustedDevices: {} } }
    },
    'add an app during a login': {
      async prepare (round) {
        const { ticket, steps: [step] } = await demand(round)
        const body = { ticket, code: codeOf(step?.secret ?? '') }
        return () => round.send('POST', '/auth/jwt/login/totp-enrol', body)
      },
      success: 200,
      ends: ['own', 'session'],
      options: { ...withApp, secondFactors }
    },
    'authenticate again with an app': {
      async prepare (round) {
        const { code, headers } = await enrol(round)
        const pending = await round.send('POST', AGAIN, { password: PASSWORD }, headers)
        const body = { ticket: detailOf(pending).ticket, code: code() }
        return () => round.send('POST', `${AGAIN}/totp`, body, headers)
      },
      success: 204,
      options: withApp
    },
    'remove an app': {
      async prepare (round) {
        const { code, headers } = await enrol(round)
        await replaceSessions(round)
        const body = { code: code() }
        round.acting = headers
        return () => round.send('DELETE', TOTP, body, headers)
      },
      success: 204,
      ends: ['own', 'session'],
      options: withApp
    },
    'remove an app with a recovery code': {
      async prepare (round) {
        const { codes: [code], headers } = await enrol(round)
        await replaceSessions(round)
        round.acting = headers
        return () => round.send('DELETE', TOTP, { code }, headers)
      },
      success: 204,
      ends: ['own', 'session'],
      options: withApp
    },
    'remove the factors of a user': {
      async prepare (round) {
        await enrol(round)
        await replaceSessions(round)
        return () => round.send('DELETE', `/users/${round.id}/second-factors`, undefined, round.admin)
      },
      success: 204,
      ends: ['own', 'session'],
      options: withApp
    },
    'replace the recovery codes': {
      async prepare (round) {
        const { code, headers } = await enrol(round)
        const pending = await round.send('POST', AGAIN, { password: PASSWORD }, headers)
        const body = { ticket: detailOf(pending).ticket, code: code() }
        const proved = browserOf(await round.send('POST', `${AGAIN}/totp`, body, headers))
        return () => round.send('POST', RECOVERY, undefined, proved)
      },
      success: 201,
      options: withApp
    },
    'log in with a recovery code': {
      async prepare (round) {
        const { codes: [code] } = await enrol(round)
        return await toStep(round, 'jwt', 'recovery-code', { code })
      },
      success: 200,
      options: withApp
    },
    'log in by cookie with a passkey': {
      async prepare (round) {
        const device = await addPasskey(round)
        const begun = await round.send('POST', '/auth/cookie/passkey/options')
        const { ticket, options } = begun.json<Assertion>()
        const body = { ticket, credential: device.get(options) }
        return () => round.send('POST', '/auth/cookie/passkey', body, browserOf(begun))
      },
      success: 204,
      options: withPasskeys()
    },
    'log in with a password and a passkey': {
      async prepare (round) {
        const device = await addPasskey(round)
        const { ticket, steps: [step] } = detailOf(await round.login('jwt', ARTHUR))
        const credential = device.get(step?.options as unknown as Assertion['options'])
        return () => round.send('POST', '/auth/jwt/login/passkey', { ticket, credential })
      },
      success: 200,
      options: withPasskeys()
    },
    'add a passkey during a login': {
      async prepare (round) {
        const { ticket, steps: [step] } = await demand(round)
        const credential = createAuthenticator(ORIGIN).create(step?.options as unknown as Creation['options'])
        return () => round.send('POST', '/auth/jwt/login/passkey-enrol', { ticket, credential })
      },
      success: 200,
      ends: ['own', 'session'],
      options: { ...withPasskeys(), secondFactors }
    },
    'delete a passkey': {
      async prepare (round) {
        await addPasskey(round)
        await replaceSessions(round)
        const [{ id } = { id: '' }] = (await round.send('GET', '/users/me/passkeys', undefined, round.session)).json<{ id: string }[]>()
        if (id === '') throw new Error('no passkey')
        round.acting = { ...round.session }
        return () => round.send('DELETE', `/users/me/passkeys/${id}`, undefined, round.acting)
      },
      success: 204,
      ends: ['own'],
      options: withPasskeys()
    },
    'sign up by e-mail': {
      async prepare ({ send, app, events }) {
        const begun = await send('POST', '/auth/jwt/email', { email: 'lancelot@camelot.bt' })
        await app.users.settled()
        const mail = events.findLast(({ name }) => name === 'onAfterRequestEmailLogin') as unknown as { code: string }
        const body = { ...begun.json<{ ticket: string }>(), code: mail.code }
        return () => send('POST', '/auth/jwt/email/confirm', body)
      },
      success: 200,
      options: { features: [emailLogin({ signUp: true })] }
    },
    'end one session': {
      async prepare (round) {
        const other = await round.cookie(ARTHUR)
        const list = await round.send('GET', '/users/me/sessions', undefined, other)
        const ended = list.json<{ sessions: { id: string, is_current: boolean }[] }>()
        const id = ended.sessions.find(({ is_current: isCurrent }) => !isCurrent)?.id
        return () => round.send('DELETE', `/users/me/sessions/${id}`, undefined, other)
      },
      success: 204,
      options: { features: [sessions()] }
    },
    'use a refresh token that was used': {
      async prepare ({ login, send }) {
        const { refresh_token: token } = (await login('jwt', ARTHUR)).json<{ refresh_token: string }>()
        const use = (): Promise<LightMyRequestResponse> => send('POST', '/auth/jwt/refresh', { refresh_token: token })
        const { refresh_token: next } = (await use()).json<{ refresh_token: string }>()
        await send('POST', '/auth/jwt/refresh', { refresh_token: next })
        return use
      },
      success: 400,
      options: { features: [refreshTokens()] }
    },
    'request the deletion of the own account': {
      prepare: async ({ send, own }) => () => send('DELETE', '/users/me', undefined, own),
      success: 202,
      ends: ['own', 'session'],
      options: { features: [account({ deletionDelaySeconds: 86_400 })] }
    },
    'undo a deletion': {
      async prepare ({ send, own, app, events }) {
        await send('DELETE', '/users/me', undefined, own)
        await app.users.settled()
        const event = events.findLast(({ name }) => name === 'onAfterRequestDeletion') as unknown as { token: string }
        return () => send('POST', '/auth/undo-deletion', { token: event.token })
      },
      success: 204,
      options: { features: [account({ deletionDelaySeconds: 86_400 })] }
    },
    'delete an account with factors and sessions': {
      async prepare (round) {
        await enrol(round)
        await replaceSessions(round)
        return () => round.send('DELETE', '/users/me', undefined, round.session)
      },
      success: 204,
      ends: ['own', 'session'],
      options: { clock, features: [...totpFeatures(), account(), sessions(), refreshTokens()] }
    },
    'delete a superuser with factors': {
      async prepare (round) {
        await enrol(round)
        await round.app.users.update(round.id as UserId, { is_superuser: true })
        await replaceSessions(round)
        return () => round.send('DELETE', `/users/${round.id}`, undefined, round.admin)
      },
      success: 204,
      ends: ['own', 'session'],
      options: withApp
    }
  }
}

interface Detail {
  ticket: string
  steps: { name: string, secret?: string, options?: object }[]
}

function detailOf (reply: LightMyRequestResponse): Detail {
  const { detail } = reply.json<{ detail: Detail }>()
  if (reply.statusCode !== 403) throw new Error(reply.body)
  return detail
}

/** Replaces the sessions of Arthur, which have ended, by others that prove two factors. */
async function replaceSessions ({ app: { users }, own, session }: FlowApp): Promise<void> {
  const user = await users.getByEmail(ARTHUR)
  if (user === null) throw new Error('no user')
  for (const [backend, headers] of [['jwt', own], ['cookie', session]] as const) {
    const { issued } = await users.login(user, { backend, method: 'passkey' })
    Object.assign(headers, users.backends.get(backend)?.transport.requestHeaders?.(issued?.token ?? ''))
  }
}

/** Adds a passkey to Arthur. */
async function addPasskey (round: FlowApp): Promise<Authenticator> {
  await verifyArthur(round)
  const device = createAuthenticator(ORIGIN)
  const { ticket, options } = (await round.send('POST', '/users/me/passkeys/options', undefined, round.session)).json<Creation>()
  const credential = device.create(options)
  await round.send('POST', '/users/me/passkeys', { ticket, credential }, round.session)
  return device
}
