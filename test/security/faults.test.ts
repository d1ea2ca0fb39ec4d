import { Agent, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { argon2Passwords, type DatabaseAdapter, type UsersHooks, type UsersOptions } from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { sqlite } from '../../lib/entries/sqlite.js'
import { ARTHUR, buildApp, PASSWORD } from '../helpers/build-app.js'
import {
  addGuarded,
  CANARY,
  changesOf,
  checkBroken,
  checkUnavailable,
  flows,
  isWholeChange,
  NEW_PASSWORD,
  start
} from '../helpers/flows.js'
import { watchedAdapter, type Intercept } from '../fixtures/watched-adapter.js'

const crashes: unknown[] = []
process.on('unhandledRejection', (reason) => {
  crashes.push(reason)
})
process.on('uncaughtException', (error) => {
  crashes.push(error)
})

/** Returns a value as an `Error` type, because stores and hooks may throw values of any type. */
const throwable = (value: unknown): Error => value as Error
const fail = (value: unknown): Promise<never> => Promise.reject(throwable(value))

/** Returns the error of a broken connection. */
const gone = (): Error => Object.assign(new Error(CANARY), { code: 'ECONNRESET' })
/** Errors after which a retry can succeed. All other errors of a store are bugs (500). */
const PASSING = ['rejects', 'throws at once']

const faults: Record<string, () => never | Promise<never>> = {
  rejects: () => Promise.reject(gone()),
  'rejects with a bug': () => Promise.reject(new TypeError(CANARY)),
  'throws at once': () => {
    throw gone()
  },
  'throws an error without a code': () => {
    throw new Error(CANARY)
  },
  'rejects with undefined': () => fail(undefined),
  'throws null': () => {
    throw throwable(null)
  },
  'rejects with text': () => fail(CANARY),
  'rejects with a status of its own': () =>
    Promise.reject(
      Object.assign(new Error(CANARY), {
        statusCode: 401,
        code: 'EAUTH',
        headers: { 'x-canary': CANARY },
        validation: []
      })
    ),
  'rejects with a frozen thing': () => fail(Object.freeze(Object.create(null)))
}

/** Returns a plain rejection and one of the other faults in turn, so that each flow meets several of them. */
function faultsFor (n: number): [string, () => unknown][] {
  const [plain, ...others] = Object.entries(faults)
  return [plain, others[n % others.length]].filter((one) => one !== undefined)
}

/** Makes the k-th call fail. */
const failAt =
  (k: number, fault: () => unknown): Intercept =>
    ({ n, proceed }) =>
      n === k ? fault() : proceed()

for (const [position, [flowName, flow]] of Object.entries(flows).entries()) {
  t.test(
    `ERR-01, ERR-02, DEP-01, DEP-02, DEP-03: ${flowName}: if any call to the store fails, the reply reports it and no change is incomplete`,
    async (t) => {
      const whole = await start(t, flow.options)
      const good = await flow.prepare(whole)
      const usersBefore = await whole.store.rows('user')
      whole.store.watch()
      t.equal((await good()).statusCode, flow.success, 'succeeds without a fault')
      const calls = whole.store.calls
      await whole.app.users.settled()
      const complete = changesOf(usersBefore, await whole.store.rows('user'))
      t.ok(calls > 0, `${calls} calls`)

      const round = await start(t, flow.options)
      const { store, app, own, session, login, send } = round
      const run = await flow.prepare(round)
      await app.users.settled()
      const restore = await store.snapshot()
      for (let k = 1; k <= calls; k++) {
        for (const [faultName, fault] of faultsFor(position + k)) {
          await restore()
          const before = { users: await store.rows('user'), tokens: await store.rows('accesstoken') }
          store.watch(failAt(k, fault))
          const reply = await run()
          await app.users.settled()
          store.watch()
          const label = `call ${k} ${faultName}`
          if (flow.bestEffort?.includes(k) === true) {
            t.equal(reply.statusCode, flow.success, `${label}: succeeds in spite of the fault`)
            continue
          }
          if (PASSING.includes(faultName)) checkUnavailable(t, reply, label)
          else checkBroken(t, reply, label)
          const changed = changesOf(before.users, await store.rows('user'))
          t.ok(isWholeChange(changed, complete), `${label}: the change is complete or absent: ${changed.join()}`)
          const tokens = await store.rows('accesstoken')
          t.notOk(
            tokens.some(({ token }) => !before.tokens.some((old) => old['token'] === token)),
            `${label}: no session is stored whose token was not sent`
          )
          if (changed.some((name) => /session_stamp|no /.test(name))) {
            for (const headers of [own, session]) {
              t.equal(
                (await send('GET', '/users/me', undefined, headers)).statusCode,
                401,
                `${label}: the old sessions have ended`
              )
            }
          } else {
            t.equal(
              (await send('GET', '/users/me', undefined, own)).statusCode,
              200,
              `${label}: the session is valid afterwards`
            )
          }
          const [oldWorks, newWorks] = [
            (await login('jwt', ARTHUR)).statusCode === 200,
            (await login('jwt', ARTHUR, NEW_PASSWORD)).statusCode === 200
          ]
          t.notOk(oldWorks && newWorks, `${label}: only one password is valid`)
          const again = await run()
          t.ok(
            again.statusCode === flow.success || changed.length > 0 || flow.success >= 400,
            `${label}: succeeds when the store works again (${again.statusCode})`
          )
          await app.users.settled()
        }
      }
    }
  )
}

t.test('DEP-01, ERR-02: if the answer of the store is lost after the write, the reply is 503 and no change is incomplete', async (t) => {
  for (const [flowName, flow] of Object.entries(flows)) {
    const whole = await start(t, flow.options)
    const good = await flow.prepare(whole)
    const usersBefore = await whole.store.rows('user')
    whole.store.watch()
    await good()
    const calls = whole.store.calls
    const complete = changesOf(usersBefore, await whole.store.rows('user'))
    const round = await start(t, flow.options)
    const run = await flow.prepare(round)
    await round.app.users.settled()
    const restore = await round.store.snapshot()
    for (let k = 1; k <= calls; k++) {
      await restore()
      const before = await round.store.rows('user')
      round.store.watch(({ n, proceed }) =>
        n === k
          ? Promise.resolve(proceed()).then(() => {
            throw gone()
          })
          : proceed()
      )
      const reply = await run()
      await round.app.users.settled()
      round.store.watch()
      if (flow.bestEffort?.includes(k) === true) continue
      t.equal(reply.statusCode, 503, `${flowName}, call ${k}`)
      t.equal(reply.headers['set-cookie'], undefined)
      const changed = changesOf(before, await round.store.rows('user'))
      t.ok(isWholeChange(changed, complete), `${flowName}, call ${k}: ${changed.join()}`)
    }
  }
})

t.test(
  'DEP-01, BR-03, ERR-02: while the store is down, requests are neither anonymous nor 401, and a failing backend is not skipped',
  async (t) => {
    const { send, own, session, store } = await start(t)
    store.watch(() => {
      throw gone()
    })
    for (const headers of [own, session, { ...own, ...session }]) {
      for (const url of ['/optional', '/inside', '/guarded', '/users/me']) {
        const reply = await send('GET', url, undefined, headers)
        checkUnavailable(t, reply, url)
      }
    }
    for (const url of ['/optional', '/inside']) {
      t.equal(
        (await send('GET', url)).body,
        'anonymous',
        'a request without a token is anonymous, even if the store is down'
      )
    }
    t.equal((await send('GET', '/guarded')).statusCode, 401)
    t.equal(
      (await send('GET', '/guarded', undefined, { authorization: 'Bearer junk' })).statusCode,
      401,
      'a malformed token is refused without the store'
    )
  }
)

t.test(
  'ERR-02, DEP-01: results of a store may be objects with `then`, and their rejections are 503',
  async (t) => {
    const { send, own, session, store, login } = await start(t)
    const thenable = <T>(promise: Promise<T>): unknown => ({ then: promise.then.bind(promise) })
    store.watch(({ proceed }) => thenable(Promise.resolve(proceed())))
    for (const headers of [own, session]) t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 200)
    t.equal((await login('cookie', ARTHUR)).statusCode, 204)
    store.watch(() => thenable(Promise.reject(gone())))
    for (const headers of [own, session]) {
      for (const url of ['/users/me', '/optional']) checkUnavailable(t, await send('GET', url, undefined, headers), url)
    }
    checkUnavailable(t, await login('cookie', ARTHUR), 'login')
  }
)

t.test(
  'DEP-01, DEP-02: a store that is unreachable at start is opened by the first call that reaches it; other errors stop the start',
  async (t) => {
    const coded = (code: string, cause?: unknown): Error => Object.assign(new Error(code, { cause }), { code })
    let deep = coded('ECONNRESET')
    for (let n = 0; n < 9; n++) deep = new Error('around', { cause: deep })
    const absent = [
      coded('ECONNREFUSED'),
      coded('SQLITE_BUSY_SNAPSHOT'),
      new Error('no server', { cause: coded('X', coded('ENOTFOUND')) }),
      coded('FST_USERS_STORE_UNAVAILABLE')
    ]
    const refused = [
      coded('EACCES'),
      new Error(CANARY),
      deep,
      coded('FST_USERS_TABLE_MISMATCH', coded('ECONNREFUSED')),
      throwable(CANARY),
      throwable(undefined)
    ]
    for (const error of refused) {
      const { adapter } = watchedAdapter(memory())
      await t.rejects(buildApp(t, { adapter: { ...adapter, open: () => Promise.reject(error) } }))
    }
    for (const error of absent) {
      const { adapter } = watchedAdapter(memory())
      let attempts = 0
      let late: Error | null = error
      const open = async (): Promise<void> => {
        attempts++
        await turn()
        if (late !== null) throw late
        await adapter.open()
      }
      const { send, login, register } = await buildApp(t, { adapter: { ...adapter, open } }, addGuarded)
      const ask = (): Promise<LightMyRequestResponse>[] => [
        login('jwt', ARTHUR),
        send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
      ]
      for (const reply of await Promise.all(ask())) checkUnavailable(t, reply, error.message)
      late = throwable(CANARY)
      for (const reply of await Promise.all(ask())) checkBroken(t, reply, 'found, but of no use')
      late = null
      attempts = 0
      await Promise.all([register(), login('jwt', ARTHUR), login('cookie', ARTHUR)])
      t.equal(attempts, 1, 'all waiting requests share one attempt')
      t.equal((await login('jwt', ARTHUR)).statusCode, 200)
    }
  }
)

t.test(
  'DEP-01, DEP-02: while its store takes long to open, an application starts and replies 503; later it works',
  async (t) => {
    const { adapter } = watchedAdapter(memory())
    let end = (): void => {}
    const begun = new Promise<void>((resolve) => {
      end = resolve
    })
    let attempts = 0
    const open = async (): Promise<void> => {
      attempts++
      await begun
      await adapter.open()
    }
    const { register, send, login } = await buildApp(t, { adapter: { ...adapter, open } }, addGuarded, {
      pluginTimeout: 5000
    })
    const ask = async (url: string): Promise<void> => {
      checkUnavailable(t, await send('POST', url, { email: ARTHUR, password: PASSWORD }), url)
    }
    await Promise.all([
      ask('/auth/register'),
      login('jwt', ARTHUR).then((reply) => {
        checkUnavailable(t, reply, 'login')
      })
    ])
    end()
    t.match(await register(), { email: ARTHUR })
    t.equal((await login('jwt', ARTHUR)).statusCode, 200)
    t.equal(attempts, 1, 'the first attempt continued')
  }
)

t.test(
  'DEP-07: an application that closes while its store opens answers waiting requests and closes the store',
  async (t) => {
    const inner = memory()
    let begin = (): void => {}
    const begun = new Promise<void>((resolve) => {
      begin = resolve
    })
    let closed = false
    let absent = true
    const adapter: DatabaseAdapter = {
      ...watchedAdapter(inner).adapter,
      async open () {
        if (absent) throw Object.assign(new Error('no server'), { code: 'ECONNREFUSED' })
        await begun
      },
      async close () {
        closed = true
      }
    }
    const { app } = await buildApp(t, { adapter })
    absent = false
    const waiting = t.rejects(app.users.getByEmail(ARTHUR), { code: 'FST_USERS_NOT_READY' })
    const closing = app.close()
    for (let n = 0; n < 20; n++) await turn()
    t.notOk(closed, 'the store is closed only after it has opened')
    begin()
    await Promise.all([waiting, closing])
    t.ok(closed)
  }
)

const throwables: Record<string, () => unknown> = {
  undefined: () => undefined,
  null: () => null,
  text: () => CANARY,
  'empty text': () => '',
  zero: () => 0,
  symbol: () => Symbol(CANARY),
  'an error': () => new Error(CANARY),
  'an error with a success': () => Object.assign(new Error(CANARY), { statusCode: 200 }),
  'an error with an odd status': () => Object.assign(new Error(CANARY), { statusCode: '999x' }),
  'an error with a 500': () => Object.assign(new Error(CANARY), { statusCode: 502, code: CANARY }),
  'a bare object': () => Object.create(null),
  'a frozen error': () => Object.freeze(new Error(CANARY))
}

/** Events that other files test. */
type OtherEvent = 'onAudit' | 'onLoginStepAttempt' | 'onCurrentPasswordAttempt' | 'onAccountLocked'
/** Events of features. */
type FeatureEvent =
  | 'onAfterSetRole'
  | 'onAfterLink'
  | 'onAfterUnlink'
  | 'onRefreshTokenReused'
  | 'onLoginMethodAdded'
  | 'onLoginMethodRemoved'
  | 'onAfterCreateApiKey'
  | 'onAfterRevokeApiKey'
  | 'onAfterRequestEmailLogin'
  | 'onAfterCreateRecoveryCodes'
  | 'onAfterUseRecoveryCode'
  | 'onPasskeyCloned'
  | 'onAfterDeleteAccount'
  | 'onAfterRequestDeletion'
  | 'onAfterUndoDeletion'

/** The flow that emits each event. Listeners of an event with `later` run after the reply. */
const firing: {
  [N in Exclude<keyof UsersHooks, OtherEvent | FeatureEvent>]-?: [
    flow: string,
    later?: 'later',
    options?: Partial<UsersOptions>
  ]
} = {
  onLoginAttempt: ['log in by cookie'],
  onRegisterAttempt: ['register'],
  onForgotPasswordAttempt: ['ask for a reset'],
  onRequestVerifyAttempt: ['ask for verification'],
  onResetPasswordAttempt: ['reset'],
  onVerifyAttempt: ['verify'],
  onBeforeRegister: ['register'],
  onAfterRegister: ['register'],
  onRegisterExisting: ['register', 'later', { revealExistingAccounts: false }],
  onAfterRequestRegister: ['begin a registration by mail', 'later', { registration: 'mail' }],
  onBeforeUpdate: ['change the e-mail'],
  onAfterUpdate: ['change the e-mail'],
  onAfterRequestVerify: ['ask for verification', 'later'],
  onAfterVerify: ['verify'],
  onAfterRequestEmailChange: ['request a new e-mail', 'later', { sensitiveChanges: 'confirm' }],
  onAfterEmailChange: ['change the e-mail with an undo token', 'later', { tokens: { undo: {} } }],
  onAfterUndoEmailChange: ['undo a change of the e-mail', 'later', { tokens: { undo: {} } }],
  onAfterForgotPassword: ['ask for a reset', 'later'],
  onAfterResetPassword: ['reset'],
  onBeforeLogin: ['log in by cookie'],
  onIssueToken: ['log in by cookie'],
  onAfterLogin: ['log in by cookie'],
  onAfterReauthenticate: ['authenticate again by cookie'],
  onNewDevice: ['log in from a new device', 'later', { detectNewDevices: true }],
  onLoginFailed: ['fail to log in'],
  onAfterLogout: ['log out by cookie'],
  onBeforeDelete: ['delete a user'],
  onAfterDelete: ['delete a user']
}

t.test(
  'ERR-01, ERR-02, ERR-03, LOG-06, RST-02: a value that a hook throws never makes a request succeed and is never sent',
  async (t) => {
    for (const [turnOf, [event, [flowName, later, options = {}]]] of Object.entries(firing).entries()) {
      let hook: () => unknown = () => {}
      const round = await start(t, { hooks: { [event]: () => hook() }, ...options })
      const { store, app } = round
      const flow = flows[flowName]
      if (flow === undefined) throw new Error(flowName)
      const run =
        event === 'onRegisterExisting'
          ? () => round.send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
          : await flow.prepare(round)
      await app.users.settled()
      const restore = await store.snapshot()
      for (const [position, [what, make]] of Object.entries(throwables).entries()) {
        // each event meets several values, and each value several events
        if (position > 1 && position % 4 !== turnOf % 4) continue
        for (const how of position < 2
          ? (['throws', 'rejects'] as const)
          : ([position % 2 === 0 ? 'throws' : 'rejects'] as const)) {
          hook = () => {}
          await restore()
          const before = { all: await store.dump(), tokens: (await store.rows('accesstoken')).length }
          hook =
            how === 'throws'
              ? () => {
                  throw make()
                }
              : async () => {
                await turn()
                throw make()
              }
          const reply = await run()
          await app.users.settled()
          const label = `${event} ${how} ${what}`
          if (later === 'later') {
            const success = event === 'onRegisterExisting' ? 202 : flow.success
            t.equal(reply.statusCode, success, `${label}: the reply does not depend on the listener`)
            continue
          }
          t.equal(reply.statusCode, 500, `${label}: 500`)
          t.match(
            reply.json(),
            {
              statusCode: 500,
              code: 'FST_USERS_INTERNAL_ERROR',
              error: 'Internal Server Error',
              detail: 'Internal Server Error'
            },
            label
          )
          t.match(
            reply.json<{ message: string }>().message,
            /^An internal error occurred\. The server log has the cause\. Request req-\w+\.$/,
            label
          )
          t.equal(reply.headers['set-cookie'], undefined, `${label}: no session`)
          t.equal(reply.headers['cache-control'], 'no-store', label)
          if (event.startsWith('onBefore') || event.endsWith('Attempt') || event.includes('Login') || event === 'onIssueToken') {
            t.equal(await store.dump(), before.all, `${label}: nothing changed`)
          }
          t.ok((await store.rows('accesstoken')).length <= before.tokens, `${label}: no new session`)
        }
      }
    }
  }
)

t.test('ERR-02, ERR-03: return values of listeners are ignored, except for a pending login', async (t) => {
  for (const value of [1, 'text', true, Symbol('x'), () => {}, [], {}, null, 0n, { pending: undefined }]) {
    const hooks = Object.fromEntries(
      Object.keys(firing).map((event) => [event, async () => value])
    ) as unknown as UsersHooks
    const { register, login, send, bearer } = await buildApp(t, { hooks })
    await register()
    const headers = await bearer(ARTHUR)
    t.equal((await send('PATCH', '/users/me', { email: 'arthur@camelot.bt' }, headers)).statusCode, 200, String(value))
    t.equal((await login('cookie', 'arthur@camelot.bt')).statusCode, 204)
  }
  const { create, login, app } = await buildApp(t, {
    hooks: { onBeforeLogin: async () => ({ pending: { code: 'SECOND_FACTOR', body: { hint: 'app' } } }) }
  })
  await create()
  const reply = await login('cookie', ARTHUR)
  t.equal(reply.statusCode, 403)
  t.same(reply.json<{ detail: unknown }>().detail, { code: 'SECOND_FACTOR', hint: 'app' })
  t.equal(reply.headers['set-cookie'], undefined)
  await app.users.settled()
})

/** Creates a password helper that computes one slow hash at a time and counts its calls. */
function slowPasswords (limits: { maxQueued: number; maxWaitMs?: number; timeCost?: number }): {
  passwords: NonNullable<UsersOptions['passwords']>
  asked(): number
} {
  const inner = argon2Passwords({ timeCost: 15, concurrency: 1, maxWaitMs: 120_000, ...limits })
  let count = 0
  return {
    asked: () => count,
    passwords: {
      ...inner,
      hash (password) {
        count++
        return inner.hash(password)
      },
      verifyAndUpdate (password, hash) {
        count++
        return inner.verifyAndUpdate(password, hash)
      },
      async verifyUnknown (password) {
        count++
        await inner.verifyUnknown?.(password)
      }
    }
  }
}

t.test(
  'PW-11: with a full password queue, every route that hashes replies 503 with retry-after and changes nothing; other routes work',
  async (t) => {
    const { passwords, asked } = slowPasswords({ maxQueued: 2, timeCost: 50 })
    const store = watchedAdapter(memory())
    const { app, send, bearer, login, create, tokenOf } = await buildApp(
      t,
      { adapter: store.adapter, passwords },
      addGuarded
    )
    await create()
    const headers = await bearer(ARTHUR)
    await app.users.forgotPassword(ARTHUR)
    const token = await tokenOf('onAfterForgotPassword')
    const before = await store.dump()
    const already = asked()
    let answered = 0
    const waiting = [login('jwt', ARTHUR), login('jwt', 'nobody@camelot.bt'), login('jwt', ARTHUR, 'wrong')].map(
      async (reply) => {
        const { statusCode } = await reply
        answered++
        return statusCode
      }
    )
    while (asked() - already < 3) await turn() // one hash runs, two wait
    const refused: Record<string, () => Promise<LightMyRequestResponse>> = {
      'a known address': () => login('jwt', ARTHUR),
      'an unknown e-mail': () => login('jwt', 'nobody@camelot.bt'),
      'a cookie login': () => login('cookie', ARTHUR),
      register: () => send('POST', '/auth/register', { email: 'lancelot@camelot.bt', password: PASSWORD }),
      'a new password': () => send('PATCH', '/users/me', { password: NEW_PASSWORD }, headers),
      'a new password and address': () =>
        send('PATCH', '/users/me', { password: NEW_PASSWORD, email: 'arthur@camelot.bt' }, headers),
      'a reset': () => send('POST', '/auth/reset-password', { token, password: NEW_PASSWORD })
    }
    const bodies = new Set<string>()
    for (const [label, ask] of Object.entries(refused)) {
      const reply = await ask()
      t.equal(reply.statusCode, 503, label)
      t.equal(reply.json<{ code: string }>().code, 'FST_USERS_PASSWORD_QUEUE_FULL', label)
      t.match(reply.headers['retry-after'], /^\d+$/, label)
      bodies.add(reply.body)
    }
    t.equal(bodies.size, 1, 'known and unknown e-mails get the same reply')
    t.equal(await store.dump(), before, 'nothing changed')
    for (const url of ['/cheap', '/guarded', '/users/me']) {
      t.equal((await send('GET', url, undefined, headers)).statusCode, 200, `${url} gets a reply`)
    }
    t.equal(answered, 0, 'the other replies were sent before the first password was hashed')
    t.same(await Promise.all(waiting), [200, 400, 400], 'the waiting requests get a reply')
    t.equal(
      (await send('POST', '/auth/reset-password', { token, password: NEW_PASSWORD })).statusCode,
      200,
      'the token can still be used'
    )
  }
)

t.test('PW-11: a request that waits too long for a hash gets 503, and the queue continues', async (t) => {
  const { passwords } = slowPasswords({ maxQueued: 10, maxWaitMs: 1 })
  const { create, login } = await buildApp(t, { passwords })
  await create()
  const order: number[] = []
  await Promise.all(
    [login('jwt', ARTHUR), login('jwt', ARTHUR), login('cookie', ARTHUR)].map(async (reply) => {
      order.push((await reply).statusCode)
    })
  )
  t.same(order, [503, 503, 200])
  t.equal((await login('jwt', ARTHUR)).statusCode, 200)
})

t.test('DEP-07: closing lets slow logins finish, sends connection: close, and waits for mails', async (t) => {
  for (const makeStore of [memory, () => sqlite(`${t.testdir()}/users.db`)]) {
    const { passwords, asked } = slowPasswords({ maxQueued: 100 })
    const mails: string[] = []
    const { app, create, send } = await buildApp(t, {
      adapter: makeStore(),
      passwords,
      hooks: {
        async onAfterForgotPassword ({ user }) {
          for (let i = 0; i < 50; i++) await turn()
          mails.push(user.email)
        }
      }
    })
    await create()
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo
    const agent = new Agent({ keepAlive: true })
    t.teardown(() => {
      agent.destroy()
    })
    const already = asked()
    const logins = Array.from({ length: 6 }, (_, i) =>
      post(port, agent, `/auth/${i % 2 === 0 ? 'jwt' : 'cookie'}/login`, { username: ARTHUR, password: PASSWORD })
    )
    while (asked() - already < 6) await turn()
    t.equal((await send('POST', '/auth/forgot-password', { email: ARTHUR })).statusCode, 202)
    const stop = new AbortController()
    const closing = app.close().then(() => 'closed')
    for (const { status, connection } of await Promise.all(logins)) {
      t.ok(status === 200 || status === 204, `login: ${status}`)
      t.equal(connection, 'close', 'the connection ends with the reply')
    }
    // otherwise an idle connection is kept for 72 s
    const late = sleep(30_000, 'late', { signal: stop.signal, ref: false }).catch(() => 'late')
    t.equal(await Promise.race([closing, late]), 'closed', 'close() does not wait for idle connections')
    stop.abort()
    t.same(mails, [ARTHUR])
    await t.rejects(post(port, agent, '/auth/jwt/login', {}), 'later connections are refused')
  }
})

function post (
  port: number,
  agent: Agent,
  path: string,
  body: object
): Promise<{ status: number; connection: string | undefined }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { port, agent, path, host: '127.0.0.1', method: 'POST', headers: { 'content-type': 'application/json' } },
      (reply) => {
        reply.resume()
        reply.on('end', () => {
          resolve({ status: reply.statusCode ?? 0, connection: reply.headers.connection })
        })
      }
    )
    request.on('error', reject)
    request.end(JSON.stringify(body))
  })
}

t.test('ERR-03: no test of this file caused an unhandled rejection or an uncaught exception', async (t) => {
  for (let i = 0; i < 10; i++) await turn()
  t.same(crashes, [])
})
