import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { authenticate, type DatabaseAdapter, type Row, type UserId, type UsersOptions } from '../../lib/index.js'
import { account } from '../../lib/features/account/index.js'
import { emailLogin } from '../../lib/features/email-login/index.js'
import { memory } from '../../lib/entries/memory.js'
import { sessions } from '../../lib/features/sessions/index.js'
import { watchedAdapter, type WatchedAdapter } from '../fixtures/watched-adapter.js'
import { ARTHUR, buildApp, PASSWORD, weakerHash, type Extend, type TestApp } from './build-app.js'

export const MERLIN = 'merlin@camelot.bt'
export const NEW_PASSWORD = 'excalibur-2'
/** The beginning of every simulated error message. No reply may contain it. */
export const CANARY = 'canary-postgres://u:p@db/x'

/** An application with two users and their sessions. */
export interface FlowApp extends TestApp {
  store: WatchedAdapter
  id: string
  own: { authorization: string }
  admin: { authorization: string }
  session: { cookie: string }
  /** The cookie session that sends the request and continues, also if the request fails. */
  acting?: Record<string, string>
}

/** A request and its preparation. */
export interface Flow {
  /** Runs before faults are simulated. Returns a function that sends the request. */
  prepare(round: FlowApp): Promise<() => Promise<LightMyRequestResponse>>
  success: number
  /** Numbers of the calls to the store whose failure does not fail the request. */
  bestEffort?: readonly number[]
  /** Sessions that the request ends together with its change of the second factors. */
  ends?: readonly ('own' | 'session')[]
  options?: Partial<UsersOptions>
}

/** Creates the application with a watched adapter, two users and their sessions. */
export async function start (
  t: Test,
  options: Partial<UsersOptions> = {},
  makeStore: () => DatabaseAdapter = memory,
  extend: Extend = addGuarded
): Promise<FlowApp> {
  const store = watchedAdapter(makeStore())
  const built = await buildApp(t, { adapter: store.adapter, ...options }, extend)
  // with revealExistingAccounts: false, the default of registration by mail, a login requires a verified e-mail
  const isVerified = options.revealExistingAccounts === false || options.registration === 'mail'
  const { id } = await built.create({ is_verified: isVerified })
  await built.create({ email: MERLIN, is_superuser: true, is_verified: true })
  const round = {
    ...built,
    store,
    id: String(id),
    own: await built.bearer(ARTHUR),
    admin: await built.bearer(MERLIN),
    session: await built.cookie(ARTHUR)
  }
  await built.app.users.settled() // waits for calls to the store that replies do not wait for
  return round
}

/** Adds a route for each form of the guard. */
export function addGuarded (app: Parameters<Extend>[0]): void {
  app.get('/guarded', { preHandler: authenticate }, async () => 'in')
  app.get('/optional', { preHandler: authenticate({ optional: true }) }, async (request) =>
    request.user === null ? 'anonymous' : 'known'
  )
  app.get('/inside', async (request, reply) =>
    (await app.authenticate(request, reply, { optional: true })) === null ? 'anonymous' : 'known'
  )
  app.get('/cheap', async () => 'ok')
}

async function storeWeakerHash ({ store, app }: FlowApp): Promise<void> {
  const row = (await store.rows('user')).find(({ email }) => email === ARTHUR)
  const hash = await weakerHash(PASSWORD)
  const model = { name: 'user' } as never
  await store.adapter.update(model, { id: String(row?.['id']) }, { hashed_password: hash })
  await app.users.settled()
}

/** Marks Arthur's e-mail as verified, and gives the round new sessions. */
export async function verifyArthur (round: FlowApp): Promise<void> {
  await round.app.users.update(round.id as UserId, { is_verified: true })
  await logInAgain(round, ARTHUR)
}

/** Replaces the sessions of a round, which have ended. */
async function logInAgain ({ bearer, cookie, own, session }: FlowApp, email: string): Promise<void> {
  Object.assign(own, await bearer(email))
  Object.assign(session, await cookie(email))
}

/** Asks for a login by e-mail. Returns the ticket and the mailed code. */
async function mailedProof ({ send, app, events }: FlowApp): Promise<{ ticket: string; code: string }> {
  const { ticket } = (await send('POST', '/auth/jwt/email', { email: ARTHUR })).json<{ ticket: string }>()
  await app.users.settled()
  const mail = events.findLast(({ name }) => name === 'onAfterRequestEmailLogin') as unknown as { code: string }
  return { ticket, code: mail.code }
}

const simple = (
  request: (round: FlowApp) => Promise<LightMyRequestResponse>,
  success: number,
  more: Partial<Flow> = {}
): Flow => ({
  prepare: async (round) => () => request(round),
  success,
  ...more
})

/** All flows by name. */
export const flows: Record<string, Flow> = {
  register: simple(
    ({ send }) => send('POST', '/auth/register', { email: 'lancelot@camelot.bt', password: PASSWORD }),
    201
  ),
  'register quietly': simple(
    ({ send }) => send('POST', '/auth/register', { email: 'lancelot@camelot.bt', password: PASSWORD }),
    202,
    { options: { revealExistingAccounts: false } }
  ),
  'log in by jwt': simple(({ login }) => login('jwt', ARTHUR), 200),
  'log in by cookie': simple(({ login }) => login('cookie', ARTHUR), 204),
  'log in again by cookie': simple(
    ({ app, session }) =>
      app.inject({
        method: 'POST',
        url: '/auth/cookie/login',
        headers: session,
        payload: { username: ARTHUR, password: PASSWORD }
      }),
    204
  ),
  'log in with an old hash': {
    async prepare (round) {
      await storeWeakerHash(round)
      return () => round.login('cookie', ARTHUR)
    },
    success: 204,
    bestEffort: [2]
  },
  'fail to log in': simple(({ login }) => login('jwt', ARTHUR, 'wrong'), 400),
  'read me': simple(({ send, own }) => send('GET', '/users/me', undefined, own), 200),
  'read me by cookie': simple(({ send, session }) => send('GET', '/users/me', undefined, session), 200),
  'guarded by jwt': simple(({ send, own }) => send('GET', '/guarded', undefined, own), 200),
  'guarded by cookie': simple(({ send, session }) => send('GET', '/guarded', undefined, session), 200),
  'optional by jwt': simple(({ send, own }) => send('GET', '/optional', undefined, own), 200),
  'optional by cookie': simple(({ send, session }) => send('GET', '/optional', undefined, session), 200),
  'optional by both': simple(
    ({ send, own, session }) => send('GET', '/optional', undefined, { ...own, ...session }),
    200
  ),
  'optional in a handler': simple(({ send, session }) => send('GET', '/inside', undefined, session), 200),
  'change the e-mail': simple(({ send, own }) => send('PATCH', '/users/me', { email: 'arthur@camelot.bt' }, own), 200),
  'change the password by jwt': simple(
    ({ send, own }) => send('PATCH', '/users/me', { password: NEW_PASSWORD }, own),
    200
  ),
  'change the password by cookie': simple(
    ({ send, session }) => send('PATCH', '/users/me', { password: NEW_PASSWORD }, session),
    200
  ),
  'change both': simple(
    ({ send, session }) => send('PATCH', '/users/me', { password: NEW_PASSWORD, email: 'arthur@camelot.bt' }, session),
    200
  ),
  'ask for a reset': simple(({ send }) => send('POST', '/auth/forgot-password', { email: ARTHUR }), 202),
  reset: {
    async prepare ({ app, tokenOf, send }) {
      await app.users.forgotPassword(ARTHUR)
      const token = await tokenOf('onAfterForgotPassword')
      return () => send('POST', '/auth/reset-password', { token, password: NEW_PASSWORD })
    },
    success: 200
  },
  'ask for verification': simple(({ send }) => send('POST', '/auth/request-verify-token', { email: ARTHUR }), 202),
  verify: {
    async prepare ({ app, tokenOf, send }) {
      await app.users.requestVerify(ARTHUR)
      const token = await tokenOf('onAfterRequestVerify')
      return () => send('POST', '/auth/verify', { token })
    },
    success: 200
  },
  'request a new e-mail': simple(
    ({ send, own }) =>
      send('PATCH', '/users/me', { email: 'arthur@camelot.bt', current_password: PASSWORD }, own),
    200,
    { options: { sensitiveChanges: 'confirm' } }
  ),
  'prove a new e-mail': {
    async prepare ({ send, own, tokenOf }) {
      await send('PATCH', '/users/me', { email: 'arthur@camelot.bt', current_password: PASSWORD }, own)
      const token = await tokenOf('onAfterRequestVerify')
      return () => send('POST', '/auth/verify', { token })
    },
    success: 200,
    options: { sensitiveChanges: 'confirm' }
  },
  'begin a registration by mail': simple(
    ({ send }) => send('POST', '/auth/register', { email: 'lancelot@camelot.bt' }),
    202,
    { options: { registration: 'mail' } }
  ),
  'complete a registration by mail': {
    async prepare ({ send, tokenOf }) {
      await send('POST', '/auth/register', { email: 'lancelot@camelot.bt' })
      const token = await tokenOf('onAfterRequestRegister')
      return () => send('POST', '/auth/register/complete', { token, password: PASSWORD })
    },
    success: 201,
    options: { registration: 'mail' }
  },
  'change the e-mail with an undo token': {
    async prepare (round) {
      await verifyArthur(round)
      return () => round.send('PATCH', '/users/me', { email: 'arthur@camelot.bt' }, round.own)
    },
    success: 200,
    options: { tokens: { undo: {} } }
  },
  'undo a change of the e-mail': {
    async prepare (round) {
      await verifyArthur(round)
      await round.send('PATCH', '/users/me', { email: 'arthur@camelot.bt' }, round.own)
      const token = await round.tokenOf('onAfterEmailChange')
      await logInAgain(round, 'arthur@camelot.bt')
      return () => round.send('POST', '/auth/undo-email-change', { token })
    },
    success: 200,
    options: { tokens: { undo: {} } }
  },
  'log in from a new device': simple(
    ({ app }) =>
      app.inject({
        method: 'POST',
        url: '/auth/jwt/login',
        headers: { 'user-agent': 'a new device' },
        payload: { username: ARTHUR, password: PASSWORD }
      }),
    200,
    { options: { detectNewDevices: true } }
  ),
  'ask for a login by e-mail': simple(
    ({ send }) => send('POST', '/auth/jwt/email', { email: ARTHUR }),
    202,
    { options: { features: [emailLogin()] } }
  ),
  'log in with a mailed code': {
    prepare: async (round) => {
      // a run may use its code up, so the next run has another one
      const proofs = [await mailedProof(round), await mailedProof(round)]
      let runs = 0
      return () => round.send('POST', '/auth/jwt/email/confirm', proofs[runs++ % proofs.length])
    },
    success: 200,
    options: { features: [emailLogin()] }
  },
  'delete the account': simple(({ send, own }) => send('DELETE', '/users/me', undefined, own), 204, {
    options: { features: [account()] }
  }),
  'export the account': simple(({ send, own }) => send('GET', '/users/me/export', undefined, own), 200, {
    options: { features: [account()] }
  }),
  'read a user': simple(({ send, admin, id }) => send('GET', `/users/${id}`, undefined, admin), 200),
  'deactivate a user': simple(({ send, admin, id }) => send('PATCH', `/users/${id}`, { is_active: false }, admin), 200),
  'delete a user': simple(({ send, admin, id }) => send('DELETE', `/users/${id}`, undefined, admin), 204),
  'log in with a listed session': simple(({ login }) => login('cookie', ARTHUR), 204, {
    options: { features: [sessions({ maxSessions: 3 })] }
  }),
  'list sessions': simple(({ send, session }) => send('GET', '/users/me/sessions', undefined, session), 200, {
    options: { features: [sessions()] }
  }),
  'end other sessions': simple(({ send, session }) => send('DELETE', '/users/me/sessions', undefined, session), 204, {
    options: { features: [sessions()] }
  }),
  'end the sessions of a user': simple(
    ({ send, admin, id }) => send('DELETE', `/users/${id}/sessions`, undefined, admin),
    204,
    { options: { features: [sessions()] } }
  ),
  'log out by jwt': simple(({ send, own }) => send('POST', '/auth/jwt/logout', undefined, own), 204),
  'authenticate again by cookie': simple(
    ({ send, session }) => send('POST', '/auth/cookie/reauthenticate', { password: PASSWORD }, session),
    204
  ),
  'log out by cookie': simple(({ send, session }) => send('POST', '/auth/cookie/logout', undefined, session), 204)
}

/** Returns the columns that differ, the new rows and the deleted rows. */
export function changesOf (before: Row[], after: Row[]): string[] {
  const key = (row: Row): unknown => row['id'] ?? row['token']
  const changed = after.flatMap((row) => {
    const old = before.find((one) => key(one) === key(row))
    return old === undefined
      ? ['a new row']
      : Object.keys(row)
        .filter((name) => String(row[name]) !== String(old[name]))
        .map((name) => `${String(old['email'])}.${name}`)
  })
  return [
    ...changed,
    ...before.filter((row) => !after.some((one) => key(one) === key(row))).map((row) => `no ${String(row['email'])}`)
  ]
}

/** Returns true if users have changed completely or not at all. A deletion that fails may have closed the account. */
export function isWholeChange (changed: readonly string[], complete: readonly string[]): boolean {
  const isDeletion = complete.some((change) => change.startsWith('no '))
  const isClosed = isDeletion && changed.some((change) => change.endsWith('.is_active'))
  const rest = isClosed ? changed.filter((change) => !/\.(?:session_stamp|is_active|is_superuser)$/.test(change)) : changed
  return rest.length === 0 || changed.join() === complete.join()
}

/** Asserts the 500 for a store error that a retry does not fix. The reply must not contain the error's text. */
export function checkBroken (t: Test, reply: LightMyRequestResponse, label: string): void {
  t.equal(reply.statusCode, 500, `${label}: 500`)
  t.equal(reply.headers['retry-after'], undefined, `${label}: no retry-after`)
  t.equal(reply.headers['set-cookie'], undefined, `${label}: no session`)
  const { statusCode, code, error, message } = reply.json<Record<string, unknown>>()
  t.match(
    { statusCode, code, error, message },
    {
      statusCode: 500,
      code: 'FST_USERS_INTERNAL_ERROR',
      error: 'Internal Server Error',
      message: /^An internal error occurred\. The server log has the cause\.( Request req-\w+\.)?$/
    }
  )
  t.notMatch(reply.body + JSON.stringify(reply.headers), 'canary', `${label}: reveals nothing`)
}

/** Asserts the 503 for an unavailable store. The reply must contain neither the error's text nor a session. */
export function checkUnavailable (t: Test, reply: LightMyRequestResponse, label: string): void {
  t.equal(reply.statusCode, 503, `${label}: 503`)
  t.match(reply.headers['retry-after'], /^\d+$/, `${label}: with retry-after`)
  t.equal(reply.headers['set-cookie'], undefined, `${label}: no session`)
  const { statusCode, code, error, message } = reply.json<Record<string, unknown>>()
  t.same(
    { statusCode, code, error, message },
    {
      statusCode: 503,
      code: 'FST_USERS_STORE_UNAVAILABLE',
      error: 'Service Unavailable',
      message: 'The user store does not answer. Try again later.'
    }
  )
  t.notMatch(reply.body + JSON.stringify(reply.headers), 'canary', `${label}: reveals nothing`)
}
