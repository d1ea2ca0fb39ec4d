import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import {
  refuse,
  Type,
  type AttemptEvent,
  type EventContext,
  type EventName,
  type Feature,
  type UsersHook,
  type UsersOptions
} from '../lib/index.js'
import type { FeatureKit } from '../lib/feature/index.js'
import { memory } from '../lib/entries/memory.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { ARTHUR, assertErrorReply, buildApp, countedPasswords, PASSWORD, type TestApp } from './helpers/build-app.js'

const SPELLED = ` ${ARTHUR.toUpperCase()} `

/** A login step that accepts the answer `grail`. */
const quest: Feature = {
  name: 'quest',
  loginSteps: ['quest'],
  setup: () => ({
    loginSteps: [
      {
        name: 'quest',
        needed: () => true,
        body: Type.Object({ answer: Type.String() }),
        verify: (_attempt, { answer }) => {
          if (answer !== 'grail') throw refuse(400, 'WRONG_QUEST', 'Seek again.')
        }
      }
    ]
  })
}

interface Case {
  options?: Partial<UsersOptions>
  /** Prepares a request, and returns a function that sends it. */
  prepare(built: TestApp): Promise<() => Promise<LightMyRequestResponse>>
  /** The status of the reply if no hook refuses. */
  status: number
  /** The payload, apart from the IP address and the user agent. */
  event: Partial<AttemptEvent>
}

const agent = { 'user-agent': 'Round Table/1' }

const cases: Partial<Record<EventName, Case>> = {
  onLoginAttempt: {
    prepare: async ({ send }) => () => send('POST', '/auth/jwt/login', { username: SPELLED, password: 'wrong' }, agent),
    status: 400,
    event: { email: ARTHUR, backend: 'jwt' }
  },
  onLoginStepAttempt: {
    options: { features: [quest] },
    prepare: async ({ send, login }) => {
      const { ticket } = (await login('jwt', ARTHUR)).json<{ detail: { ticket: string } }>().detail
      return () => send('POST', '/auth/jwt/login/quest', { ticket, answer: 'swallow' }, agent)
    },
    status: 400,
    event: { email: ARTHUR, backend: 'jwt' }
  },
  onCurrentPasswordAttempt: {
    options: { sensitiveChanges: 'confirm' },
    prepare: async ({ send, bearer }) => {
      const headers = { ...(await bearer(ARTHUR)), ...agent }
      return () => send('PATCH', '/users/me', { password: 'excalibur-9', current_password: 'wrong' }, headers)
    },
    status: 400,
    event: { email: ARTHUR, backend: null }
  },
  onRegisterAttempt: {
    prepare: async ({ send }) => () => send('POST', '/auth/register', { email: SPELLED.trim(), password: PASSWORD }, agent),
    status: 400,
    event: { email: ARTHUR, backend: null }
  },
  onForgotPasswordAttempt: {
    prepare: async ({ send }) => () => send('POST', '/auth/forgot-password', { email: ARTHUR.toUpperCase() }, agent),
    status: 202,
    event: { email: ARTHUR, backend: null }
  },
  onRequestVerifyAttempt: {
    prepare: async ({ send }) => () => send('POST', '/auth/request-verify-token', { email: ARTHUR.toUpperCase() }, agent),
    status: 202,
    event: { email: ARTHUR, backend: null }
  },
  onResetPasswordAttempt: {
    prepare: async ({ send }) => () => send('POST', '/auth/reset-password', { token: 'x', password: PASSWORD }, agent),
    status: 400,
    event: { email: null, backend: null }
  },
  onVerifyAttempt: {
    prepare: async ({ send }) => () => send('POST', '/auth/verify', { token: 'x' }, agent),
    status: 400,
    event: { email: null, backend: null }
  }
}

t.test('every request that a client can repeat has a hook, which gets the e-mail, the IP address and the user agent', async (t) => {
  for (const [name, { options = {}, prepare, status, event }] of Object.entries(cases)) {
    const events: [unknown, EventContext][] = []
    const listen = (payload: unknown, context: EventContext): void => {
      events.push([payload, context])
    }
    const built = await buildApp(t, options, (app) => {
      app.users.addHook(name as EventName, listen as unknown as UsersHook<EventName>)
    })
    await built.create()
    const run = await prepare(built)
    events.length = 0
    t.equal((await run()).statusCode, status, name)
    const expected = { ip: '127.0.0.1', userAgent: 'Round Table/1', failures: null, ...event }
    t.strictSame(events.map(([payload]) => payload), [expected], name)
    t.ok(events.every(([, { request, reply }]) => request !== null && reply !== null), name)
  }
})

t.test('a hook that refuses an attempt runs before any password is hashed and before the user is read', async (t) => {
  for (const [name, { options = {}, prepare }] of Object.entries(cases)) {
    let isRefusing = false
    const { passwords, calls } = countedPasswords()
    const store = watchedAdapter(memory())
    const built = await buildApp(t, { ...options, adapter: store.adapter, passwords }, (app) => {
      app.users.addHook(name as EventName, () => {
        if (isRefusing) throw refuse(403, 'NOT_TODAY', 'Not today.')
      })
    })
    await built.create()
    const run = await prepare(built)
    isRefusing = true
    await built.app.users.settled()
    calls.length = 0
    store.watch()
    assertErrorReply(t, await run(), 403, 'REFUSED', 'NOT_TODAY', name)
    await built.app.users.settled()
    t.strictSame(calls, [], `${name}: no hash`)
    // the user of a session or of a login step is read before, because only then the e-mail is known
    if (name !== 'onLoginStepAttempt' && name !== 'onCurrentPasswordAttempt') {
      t.equal(store.calls, 0, `${name}: no read`)
    }
  }
})

t.test('a registration by code does not count as an attempt; other calls without a request have neither IP address nor user agent', async (t) => {
  const events: AttemptEvent[] = []
  const listen = (event: AttemptEvent): void => {
    events.push(event)
  }
  const { app, create } = await buildApp(t, { hooks: { onRegisterAttempt: listen, onForgotPasswordAttempt: listen } })
  await create()
  await app.users.forgotPassword(ARTHUR)
  t.strictSame(events, [{ email: ARTHUR, ip: null, userAgent: null, backend: null, failures: null }])
})

t.test('a feature begins attempts of its own kind, with a hook if it declares the event', async (t) => {
  let kit: FeatureKit | undefined
  const seen: unknown[] = []
  const event = 'onGrailAttempt' as EventName
  const grail: Feature = {
    name: 'grail',
    events: [event],
    setup (given) {
      kit = given
      return {}
    }
  }
  const { app } = await buildApp(t, { features: [grail] }, (scope) => {
    scope.users.addHook(event, (payload) => {
      seen.push(payload)
    })
  })
  const context = { request: null, reply: null }
  const attempt = await kit?.attempts.begin('grail', { email: SPELLED, context })
  attempt?.succeeded()
  await kit?.attempts.begin('chalice', { context })
  await app.users.settled()
  t.strictSame(seen, [{ email: ARTHUR, ip: null, userAgent: null, backend: null, failures: null }])
})
