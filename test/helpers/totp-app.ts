import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { recoveryCodes } from '../../lib/features/recovery-codes/index.js'
import { totp } from '../../lib/features/totp/index.js'
import type { OfferedStep, User, UsersOptions } from '../../lib/index.js'
import { manualClock, type ManualClock } from '../../lib/testing/index.js'
import { ARTHUR, buildApp, PASSWORD, type Extend, type TestApp } from './build-app.js'
import { oneTimePassword } from './one-time-password.js'

type Headers = Record<string, string>

/** A begun enrolment. */
export interface Begun {
  enrolment: string
  secret: string
  url: string
  svg: string
}

/** A user with an authenticator app. */
export interface Enrolled {
  user: User
  secret: string
  /** The headers of the session that enrolled, which continues. */
  headers: Headers
  /** The recovery codes of the enrolment. */
  codes: string[]
}

/** An application with `totp()` and `recoveryCodes()`. */
export interface TotpApp extends TestApp {
  clock: ManualClock
  /** Returns the code of an app now, or after some time steps. */
  codeOf(secret: string, steps?: number): string
  /** Logs in with a cookie session. */
  session(email?: string): Promise<Headers>
  begin(headers: Headers): Promise<Begun>
  confirm(headers: Headers, begun: Begun, code?: string): Promise<LightMyRequestResponse>
  /** Creates a verified user, enrols an app in a cookie session, and moves to the next time step. */
  enrol(email?: string): Promise<Enrolled>
  /** Logs in with the password, and returns the pending login. */
  pend(email?: string): Promise<{ ticket: string; steps: OfferedStep[] }>
  answer(step: string, ticket: string, code: unknown): Promise<LightMyRequestResponse>
  /** Presents the app in a cookie session, and returns the headers of the renewed session. */
  present(headers: Headers, secret: string): Promise<Headers>
  /** Logs in with the password and an answer to a step, and returns the reply. */
  loginWith(step: string, code: unknown, email?: string): Promise<LightMyRequestResponse>
}

/** A code that no secret has near the time of its enrolment. */
export const WRONG_CODE = '000000'
export const TOTP = '/users/me/totp'
export const RECOVERY = '/users/me/recovery-codes'
export const ISSUER = 'Camelot'

/** The features of the application. */
export const totpFeatures = (): NonNullable<UsersOptions['features']> => [totp({ issuer: ISSUER }), recoveryCodes()]

/** Builds the application. Its clock moves only with `clock.tick`. */
export async function buildTotpApp (
  t: Test,
  options: Partial<UsersOptions> = {},
  extend?: Extend
): Promise<TotpApp> {
  const clock = manualClock(Date.UTC(2030, 0, 1))
  const built = await buildApp(t, { clock, features: totpFeatures(), ...options }, extend)
  const { send, login, create } = built

  const codeOf: TotpApp['codeOf'] = (secret, steps = 0) => oneTimePassword(secret, clock() + steps * 30_000)
  const session: TotpApp['session'] = async (email = ARTHUR) => {
    const reply = await login('cookie', email)
    if (reply.statusCode !== 204) throw new Error(`login: ${reply.statusCode} ${reply.body}`)
    return browserOf(reply)
  }
  const begin: TotpApp['begin'] = async (headers) => {
    const reply = await send('POST', TOTP, undefined, headers)
    if (reply.statusCode !== 201) throw new Error(`begin: ${reply.statusCode} ${reply.body}`)
    const begun = reply.json<Begun>()
    return hasDistinctCodes(begun.secret, clock()) ? begun : await begin(headers)
  }
  const confirm: TotpApp['confirm'] = (headers, { enrolment, secret }, code = codeOf(secret)) =>
    send('POST', `${TOTP}/confirm`, { enrolment, code }, headers)
  const pend: TotpApp['pend'] = async (email = ARTHUR) => {
    const reply = await login('jwt', email)
    const { detail } = reply.json<{ detail: { code: string; ticket: string; steps: OfferedStep[] } }>()
    if (reply.statusCode !== 403 || detail.code !== 'LOGIN_STEP_REQUIRED') throw new Error(reply.body)
    return detail
  }
  const answer: TotpApp['answer'] = (step, ticket, code) => send('POST', `/auth/jwt/login/${step}`, { ticket, code })

  return {
    ...built,
    clock,
    codeOf,
    session,
    begin,
    confirm,
    pend,
    answer,
    async enrol (email = ARTHUR) {
      const user = await create({ email, is_verified: true })
      const headers = await session(email)
      const begun = await begin(headers)
      const reply = await confirm(headers, begun)
      if (reply.statusCode !== 201) throw new Error(`confirm: ${reply.statusCode} ${reply.body}`)
      clock.tick(30)
      return {
        user,
        secret: begun.secret,
        headers: browserOf(reply),
        codes: reply.json<{ recovery_codes: string[] }>().recovery_codes
      }
    },
    async present (headers, secret) {
      const again = '/auth/cookie/reauthenticate'
      const pending = await send('POST', again, { password: PASSWORD }, headers)
      const { ticket } = pending.json<{ detail: { ticket: string } }>().detail
      const reply = await send('POST', `${again}/totp`, { ticket, code: codeOf(secret) }, headers)
      if (reply.statusCode !== 204) throw new Error(`reauthenticate: ${reply.statusCode} ${reply.body}`)
      return browserOf(reply)
    },
    loginWith: async (step, code, email) => answer(step, (await pend(email)).ticket, code)
  }
}

/** Returns the headers of a browser that received this reply. */
export function browserOf ({ cookies }: LightMyRequestResponse): Headers {
  const set = cookies.filter(({ value }) => value !== '').map(({ name, value }) => `${name}=${value}`)
  return { cookie: set.join('; '), 'sec-fetch-site': 'same-origin' }
}

/** Returns true if no test can fail because two time steps have the same code by chance. */
function hasDistinctCodes (secret: string, now: number): boolean {
  const codes = Array.from({ length: 400 }, (_none, n) => oneTimePassword(secret, now + (n - 150) * 30_000))
  return new Set([WRONG_CODE, ...codes]).size === codes.length + 1
}
