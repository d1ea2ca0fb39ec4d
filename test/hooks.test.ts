import { setImmediate as nextTurn } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import {
  refuse,
  userSchemas,
  type DatabaseAdapter,
  type EventContext,
  type EventName,
  type UsersHook,
  type UsersHooks,
  type UsersOptions
} from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { eventNames as allEventNames } from '../lib/hooks/index.js'
import { watchedAdapter } from './fixtures/watched-adapter.js'
import { ARTHUR, PASSWORD, backends, buildApp, type TestApp } from './helpers/build-app.js'

/** All events except those of attempts, which test/attempts.test.ts and test/limits.test.ts are about. */
const eventNames = allEventNames.filter((name) => !name.endsWith('Attempt') && name !== 'onAccountLocked')

const LANCELOT = 'lancelot@camelot.bt'
const NEW_PASSWORD = 'excalibur-9'

type AnyHook = (payload: Record<string, unknown>, context: EventContext) => unknown
/** Returns the listeners as `UsersHooks`, without the types of their events. */
const asUsersHooks = (hooks: Partial<Record<EventName, AnyHook>>): UsersHooks => hooks as unknown as UsersHooks
const addListener = (built: { app: TestApp['app'] }, name: EventName, hook: AnyHook): void => {
  built.app.users.addHook(name, hook as UsersHook<EventName>)
}

interface RequestCase {
  /** Events that the request fires, in order. */
  events: readonly EventName[]
  options?: Partial<UsersOptions>
  /** The status of the reply when no listener throws. */
  status: number
  /** True if the listeners run after the reply. */
  background?: true
  run(built: TestApp): Promise<LightMyRequestResponse>
  /** Returns whether the request has taken effect. */
  hasTakenEffect(built: TestApp): Promise<boolean>
}

const OTHER_SUPERUSER = 'lady.of.the.lake@camelot.bt'
const userExists = async ({ app }: TestApp, email: string): Promise<boolean> =>
  (await app.users.getByEmail(email)) !== null
const isPassword = async (built: TestApp, password: string): Promise<boolean> =>
  (await built.app.users.checkCredentials({ username: ARTHUR, password })) !== null
const form = { username: ARTHUR, password: PASSWORD }

/** Requests that fire all events of the core. Arthur is an unverified superuser, and another superuser exists. */
const requestCases: Record<string, RequestCase> = {
  register: {
    events: ['onBeforeRegister', 'onAfterRegister'],
    status: 201,
    run: ({ send }) => send('POST', '/auth/register', { email: LANCELOT, password: PASSWORD }),
    hasTakenEffect: (built) => userExists(built, LANCELOT)
  },
  'register with hidden accounts': {
    events: ['onBeforeRegister'],
    options: { revealExistingAccounts: false },
    status: 202,
    run: ({ send }) => send('POST', '/auth/register', { email: LANCELOT, password: PASSWORD }),
    hasTakenEffect: (built) => userExists(built, LANCELOT)
  },
  'register a known e-mail with hidden accounts': {
    events: ['onRegisterExisting'],
    options: { revealExistingAccounts: false },
    status: 202,
    background: true,
    run: ({ send }) => send('POST', '/auth/register', { email: ARTHUR, password: NEW_PASSWORD }),
    hasTakenEffect: async () => true
  },
  'change own profile': {
    events: ['onBeforeUpdate', 'onAfterUpdate'],
    status: 200,
    run: async ({ send, bearer }) => await send('PATCH', '/users/me', { password: NEW_PASSWORD }, await bearer(ARTHUR)),
    hasTakenEffect: (built) => isPassword(built, NEW_PASSWORD)
  },
  'change a user': {
    events: ['onBeforeUpdate', 'onAfterUpdate'],
    status: 200,
    run: async ({ app, send, bearer }) =>
      await send(
        'PATCH',
        `/users/${(await app.users.getByEmail(ARTHUR))?.id ?? ''}`,
        { is_verified: true },
        await bearer(ARTHUR)
      ),
    hasTakenEffect: async ({ app }) => (await app.users.getByEmail(ARTHUR))?.is_verified === true
  },
  'delete a user': {
    events: ['onBeforeDelete', 'onAfterDelete'],
    status: 204,
    run: async ({ app, send, bearer }) =>
      await send('DELETE', `/users/${(await app.users.getByEmail(ARTHUR))?.id ?? ''}`, undefined, await bearer(ARTHUR)),
    hasTakenEffect: async (built) => !(await userExists(built, ARTHUR))
  },
  'ask for a verify token': {
    events: ['onAfterRequestVerify'],
    status: 202,
    background: true,
    run: ({ send }) => send('POST', '/auth/request-verify-token', { email: ARTHUR }),
    hasTakenEffect: async () => true
  },
  verify: {
    events: ['onAfterVerify'],
    status: 200,
    run: async (built) => {
      await built.app.users.requestVerify(ARTHUR)
      return await built.send('POST', '/auth/verify', { token: await built.tokenOf('onAfterRequestVerify') })
    },
    hasTakenEffect: async ({ app }) => (await app.users.getByEmail(ARTHUR))?.is_verified === true
  },
  'ask for a reset token': {
    events: ['onAfterForgotPassword'],
    status: 202,
    background: true,
    run: ({ send }) => send('POST', '/auth/forgot-password', { email: ARTHUR }),
    hasTakenEffect: async () => true
  },
  'reset the password': {
    events: ['onAfterVerify', 'onAfterResetPassword'],
    status: 200,
    run: async (built) => {
      await built.app.users.forgotPassword(ARTHUR)
      return await built.send('POST', '/auth/reset-password', {
        token: await built.tokenOf('onAfterForgotPassword'),
        password: NEW_PASSWORD
      })
    },
    hasTakenEffect: (built) => isPassword(built, NEW_PASSWORD)
  },
  login: {
    events: ['onBeforeLogin', 'onIssueToken', 'onAfterLogin'],
    status: 200,
    run: ({ send }) => send('POST', '/auth/jwt/login', form),
    hasTakenEffect: async () => true
  },
  'log in with a cookie': {
    events: ['onBeforeLogin', 'onIssueToken', 'onAfterLogin'],
    status: 204,
    run: ({ send }) => send('POST', '/auth/cookie/login', form),
    hasTakenEffect: async () => true
  },
  'authenticate again': {
    events: ['onIssueToken', 'onAfterReauthenticate'],
    status: 204,
    run: async ({ send, cookie }) =>
      await send('POST', '/auth/cookie/reauthenticate', { password: PASSWORD }, await cookie(ARTHUR)),
    hasTakenEffect: async () => true
  },
  'log in with a wrong password': {
    events: ['onLoginFailed'],
    status: 400,
    run: ({ send }) => send('POST', '/auth/jwt/login', { ...form, password: NEW_PASSWORD }),
    hasTakenEffect: async () => true
  },
  'log out': {
    events: ['onAfterLogout'],
    status: 204,
    run: async ({ send, cookie }) => await send('POST', '/auth/cookie/logout', undefined, await cookie(ARTHUR)),
    hasTakenEffect: async () => true
  }
}

async function withArthur (
  t: Test,
  options: Partial<UsersOptions> = {},
  extend: (app: TestApp['app']) => void = () => {}
): Promise<TestApp> {
  const built = await buildApp(t, options, extend)
  await built.create({ email: OTHER_SUPERUSER, is_superuser: true })
  await built.create({ is_superuser: true })
  return built
}

/** Events with tests of their own: registration by mail, undone e-mail changes, new devices. */
const TESTED_ELSEWHERE: readonly EventName[] = [
  'onAfterRequestRegister',
  'onAfterRequestEmailChange',
  'onAfterEmailChange',
  'onAfterUndoEmailChange',
  'onNewDevice'
]

t.test('each event is fired by a request of the tests below', async (t) => {
  t.same(
    [...new Set([...Object.values(requestCases).flatMap(({ events }) => events), ...TESTED_ELSEWHERE])].sort(),
    [...eventNames].sort()
  )
})

t.test('row 60: listeners of an event run one after the other, and the listener of the options is first', async (t) => {
  for (const [what, { events, options, status, run }] of Object.entries(requestCases)) {
    for (const name of events) {
      const seen: string[] = []
      const listener =
        (label: string): AnyHook =>
          async () => {
            seen.push(`${label} starts`)
            await nextTurn()
            await nextTurn()
            seen.push(`${label} ends`)
          }
      const built = await withArthur(t, { ...options, hooks: asUsersHooks({ [name]: listener('option') }) }, (app) => {
        addListener({ app }, name, listener('first'))
        addListener({ app }, name, () => {
          seen.push('synchronous')
        })
        addListener({ app }, name, listener('last'))
      })
      await built.app.users.settled()
      seen.length = 0
      const reply = await run(built)
      await built.app.users.settled()
      t.equal(reply.statusCode, status, what)
      const expectedSteps = [
        'option starts',
        'option ends',
        'first starts',
        'first ends',
        'synchronous',
        'last starts',
        'last ends'
      ]
      t.same(seen.slice(-expectedSteps.length), expectedSteps, `${what}: ${name}`)
      t.equal(seen.length % expectedSteps.length, 0, `${what}: ${name}`)
    }
  }
})

t.test('row 60: a request fires its events in order, with the documented payloads', async (t) => {
  const payloads: Partial<Record<EventName, string[]>> = {
    onBeforeRegister: ['user'],
    onAfterRegister: ['user'],
    onRegisterExisting: ['attempt', 'user'],
    onBeforeUpdate: ['changes', 'user'],
    onAfterUpdate: ['changes', 'user'],
    onAfterRequestVerify: ['email', 'token', 'user'],
    onAfterVerify: ['user'],
    onAfterForgotPassword: ['token', 'user'],
    onAfterResetPassword: ['user'],
    onBeforeLogin: ['backend', 'method', 'user'],
    onIssueToken: ['backend', 'issued', 'user'],
    onAfterLogin: ['backend', 'method', 'session', 'user'],
    onAfterReauthenticate: ['backend', 'session', 'user'],
    onLoginFailed: ['backend', 'reason', 'user', 'username'],
    onAfterLogout: ['backend', 'session', 'user'],
    onBeforeDelete: ['user'],
    onAfterDelete: ['user']
  }
  for (const [what, { events, options, run }] of Object.entries(requestCases)) {
    const seen: { name: EventName; payload: Record<string, unknown>; context: EventContext }[] = []
    const built = await withArthur(t, { ...options }, (app) => {
      for (const name of eventNames) {
        addListener({ app }, name, (payload, context) => {
          seen.push({ name, payload, context })
        })
      }
    })
    seen.length = 0
    const reply = await run(built)
    await built.app.users.settled()
    const names = seen.map(({ name }) => name)
    const fired =
      what === 'register with hidden accounts'
        ? [...events, 'onAfterRegister']
        : what === 'register a known e-mail with hidden accounts'
          ? ['onBeforeRegister', ...events]
          : events
    t.same(names.slice(-fired.length), fired, what)
    for (const {
      name,
      payload,
      context: { request, reply: contextReply }
    } of seen.slice(-fired.length)) {
      t.same(Object.keys(payload).sort(), payloads[name], `${what}: ${name}`)
      t.equal(request?.url, reply.raw.req.url, `${what}: ${name} has the request`)
      t.equal(contextReply?.request, request, `${what}: ${name} has the reply`)
    }
  }
})

t.test('row 60: events of calls without a request have null as request and reply', async (t) => {
  const contexts: [EventName, EventContext][] = []
  const built = await buildApp(t, {}, (app) => {
    for (const name of eventNames) {
      addListener({ app }, name, (_payload, context) => {
        contexts.push([name, context])
      })
    }
  })
  const { users } = built.app
  const arthur = await users.create({ email: ARTHUR, password: PASSWORD })
  await users.requestVerify(ARTHUR)
  await users.verify(await built.tokenOf('onAfterRequestVerify'))
  await users.forgotPassword(ARTHUR)
  await users.resetPassword(await built.tokenOf('onAfterForgotPassword'), NEW_PASSWORD)
  await users.checkCredentials({ username: ARTHUR, password: PASSWORD })
  const row = await users.checkCredentials({ username: ARTHUR, password: NEW_PASSWORD })
  if (row === null) throw new Error('no Arthur')
  await users.login(row, { backend: 'jwt', method: 'script' })
  await users.update(arthur, { is_verified: false })
  await users.delete(arthur)
  await users.settled()
  const otherEvents = [...TESTED_ELSEWHERE, 'onAfterLogout', 'onAfterReauthenticate', 'onRegisterExisting']
  const expected = eventNames.filter((name) => !otherEvents.includes(name))
  t.same([...new Set(contexts.map(([name]) => name))].sort(), [...expected].sort())
  for (const [name, context] of contexts) t.same(context, { request: null, reply: null }, name)
})

/** Errors that listeners throw, with the status and code of the reply. */
const REFUSED = Object.assign(new Error('Not today.'), { statusCode: 402, code: 'PAY_FIRST', detail: { price: 5 } })
const FIXED_500: [number, string] = [500, 'FST_USERS_INTERNAL_ERROR']
const listenerErrors: Record<string, [unknown, [number, string]]> = {
  'a plain error': [new Error('canary: db.internal'), FIXED_500],
  'an error with a code': [Object.assign(new Error('canary'), { code: 'ECONNREFUSED' }), FIXED_500],
  'an error with status 500': [Object.assign(new Error('canary'), { statusCode: 500, code: 'X' }), FIXED_500],
  'an error with status 503': [Object.assign(new Error('canary'), { statusCode: 503, code: 'X' }), FIXED_500],
  'an error with status 200': [Object.assign(new Error('canary'), { statusCode: 200, code: 'X' }), FIXED_500],
  'an error with status 302': [Object.assign(new Error('canary'), { statusCode: 302, code: 'X' }), FIXED_500],
  'an error with text for a status': [Object.assign(new Error('canary'), { statusCode: '404', code: 'X' }), FIXED_500],
  text: ['canary', FIXED_500],
  'a number': [42, FIXED_500],
  null: [null, FIXED_500],
  undefined: [undefined, FIXED_500],
  'a refusal': [REFUSED, [402, 'PAY_FIRST']],
  'a refusal made by refuse()': [refuse(423, 'LOCKED', 'Locked.'), [423, 'FST_USERS_REFUSED']],
  'a refusal without code': [Object.assign(new Error('Not today.'), { statusCode: 409 }), [409, 'FST_USERS_REFUSED']]
}

/** The requests with their events, except for events that an earlier request of the list fires, too. */
const casesWithNewEvents: [string, RequestCase, EventName[]][] = Object.entries(requestCases).map(
  ([what, requestCase], i, all) => [
    what,
    requestCase,
    requestCase.events.filter((name) => !all.slice(0, i).some(([, { events }]) => events.includes(name)))
  ]
)

t.test(
  'ERR-01, ERR-02: an error in an onBefore listener stops the action; a 4xx error is the reply, others become a 500',
  async (t) => {
    for (const [what, { options, run, hasTakenEffect }, names] of casesWithNewEvents) {
      for (const name of names.filter((event) => event.startsWith('onBefore'))) {
        let later = 0
        let error: unknown
        const { adapter, snapshot } = watchedAdapter(memory())
        const built = await withArthur(t, { ...options, adapter }, (app) => {
          const isKnown = ({ email }: { email: string }): boolean => [ARTHUR, OTHER_SUPERUSER].includes(email)
          let isThrowing = name !== 'onBeforeRegister' // the two existing users must be created
          if (name === 'onBeforeLogin') isThrowing = what.startsWith('log')
          addListener({ app }, name, ({ user }) => {
            if (!isThrowing && isKnown(user as { email: string })) return
            throw error
          })
          addListener({ app }, name, ({ user }) => {
            if (!isKnown(user as { email: string }) || name !== 'onBeforeRegister') later++
          })
        })
        const restore = await snapshot()
        for (const [fault, [thrown, expected]] of Object.entries(listenerErrors)) {
          await built.app.users.settled()
          await restore()
          later = 0
          error = thrown
          const reply = await run(built)
          const about = `${what}: ${name} throws ${fault}`
          t.same([reply.statusCode, reply.json<{ code: string }>().code], expected, about)
          t.notMatch(reply.body, 'canary', about)
          t.equal(later, 0, `${about}: the later listeners do not run`)
          t.notOk(name !== 'onBeforeLogin' && (await hasTakenEffect(built)), `${about}: the action has no effect`)
          t.equal(reply.headers['set-cookie'], undefined, about)
          t.notMatch(reply.body, 'access_token', about)
          if (error === REFUSED) t.match(reply.json(), { message: 'Not today.', detail: { price: 5 } })
        }
      }
    }
  }
)

t.test('row 62: an error in onBeforeDelete keeps the user and the session', async (t) => {
  const built = await withArthur(t, {
    hooks: {
      onBeforeDelete () {
        throw REFUSED
      }
    }
  })
  const arthur = await built.app.users.getByEmail(ARTHUR)
  const cookie = await built.cookie(ARTHUR)
  await t.rejects(built.app.users.delete(arthur?.id ?? ''), REFUSED)
  t.equal((await built.send('DELETE', `/users/${arthur?.id ?? ''}`, undefined, cookie)).statusCode, 402)
  t.equal((await built.send('GET', '/users/me', undefined, cookie)).statusCode, 200)
})

t.test('ERR-01: an error in an onAfter listener fails the request, but the action has taken effect', async (t) => {
  for (const [what, { options, background, run, hasTakenEffect }, names] of casesWithNewEvents) {
    for (const name of names.filter((event) => !event.startsWith('onBefore'))) {
      if (background === true) continue
      let isThrowing = false
      let error: unknown
      const { adapter, snapshot } = watchedAdapter(memory())
      const built = await withArthur(t, { ...options, adapter }, (app) => {
        addListener({ app }, name, () => {
          if (isThrowing) throw error
        })
      })
      await built.app.users.settled()
      const restore = await snapshot()
      for (const [fault, [thrown, expected]] of Object.entries(listenerErrors)) {
        await built.app.users.settled()
        await restore()
        error = thrown
        isThrowing = true
        const reply = await run(built)
        const about = `${what}: ${name} throws ${fault}`
        t.same([reply.statusCode, reply.json<{ code: string }>().code], expected, about)
        t.notMatch(reply.body, 'canary', about)
        isThrowing = false
        t.ok(await hasTakenEffect(built), `${about}: the action has taken effect`)
      }
    }
  }
})

t.test('ERR-02: a login whose listener throws leaves no stored session', async (t) => {
  for (const name of ['onBeforeLogin', 'onIssueToken', 'onAfterLogin'] as const) {
    const adapter = memory()
    const written: Record<string, unknown>[] = []
    const models: Parameters<DatabaseAdapter['define']>[0][] = []
    const watched = new Proxy(adapter, {
      get (target, key) {
        const method: unknown = Reflect.get(target, key)
        if (typeof method !== 'function') return method
        return (...args: unknown[]): unknown => {
          if (key === 'define') models.push(args[0] as (typeof models)[number])
          if (key === 'create') written.push(args[1] as Record<string, unknown>)
          return (method as (...args: unknown[]) => unknown).apply(target, args)
        }
      }
    })
    const built = await withArthur(t, {
      adapter: watched,
      hooks: asUsersHooks({
        [name] () {
          throw new Error('no')
        }
      })
    })
    written.length = 0
    const reply = await built.send('POST', '/auth/cookie/login', form)
    t.equal(reply.statusCode, 500)
    t.equal(reply.headers['set-cookie'], undefined)
    t.equal(written.length, name === 'onBeforeLogin' ? 0 : 1, 'a token is created only after onBeforeLogin')
    const tokens = models.find((model) => model.name === 'accesstoken')
    t.same(tokens && (await adapter.findMany(tokens, {}, { limit: 9 })), [], name)
  }
})

t.test(
  'REG-02, RST-01, VER-01: listeners that send mail start after the reply, including their synchronous part',
  async (t) => {
    const cases: Record<
      string,
      { options?: Partial<UsersOptions>; status: number; run(built: TestApp): Promise<{ statusCode: number }> }
    > = {
      onAfterForgotPassword: {
        status: 202,
        run: ({ send }) => send('POST', '/auth/forgot-password', { email: ARTHUR })
      },
      onAfterRequestVerify: {
        status: 202,
        run: ({ send }) => send('POST', '/auth/request-verify-token', { email: ARTHUR })
      },
      onRegisterExisting: {
        options: { revealExistingAccounts: false },
        status: 202,
        run: ({ send }) => send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })
      },
      onAfterRegister: {
        options: { revealExistingAccounts: false },
        status: 202,
        run: ({ send }) => send('POST', '/auth/register', { email: LANCELOT, password: PASSWORD })
      },
      'onAfterRequestVerify of a new e-mail': {
        options: { sensitiveChanges: 'confirm' },
        status: 200,
        run: async ({ send, bearer }) =>
          send('PATCH', '/users/me', { email: LANCELOT, current_password: PASSWORD }, await bearer(ARTHUR))
      }
    }
    for (const [what, { options = {}, status, run }] of Object.entries(cases)) {
      const [name = ''] = what.split(' ')
      const seen: unknown[] = []
      const built = await buildApp(t, options, (app) => {
        app.addHook('onResponse', async ({ method }) => {
          seen.push(`replied to ${method}`)
        })
        addListener({ app }, name as EventName, (_payload, { reply }) => {
          if (reply !== null) seen.push(reply.raw.writableFinished ? 'mail after the reply' : 'mail before the reply')
        })
      })
      await built.create()
      t.equal((await run(built)).statusCode, status, what)
      await built.app.users.settled()
      t.equal(seen.filter((entry) => String(entry).startsWith('mail')).join(), 'mail after the reply', what)
      t.equal(seen.at(-1), 'mail after the reply', `${what}: the mail is sent last`)
    }
  }
)

t.test(
  'background work starts when the connection closes without a reply, and at once if there is no request',
  async (t) => {
    const mails: string[] = []
    const built = await withArthur(
      t,
      {
        hooks: {
          onAfterForgotPassword: ({ user }) => {
            mails.push(user.email)
          }
        }
      },
      (app) => {
        app.post('/ask', async (request, reply) => {
          await app.users.forgotPassword(ARTHUR, { request, reply })
          reply.hijack()
          reply.raw.destroy()
        })
      }
    )
    await built.send('POST', '/ask').catch(() => {})
    await built.app.users.settled()
    t.same(mails, [ARTHUR])
    await built.app.users.forgotPassword(ARTHUR)
    await built.app.users.settled()
    t.same(mails, [ARTHUR, ARTHUR])
  }
)

t.test('an error in a listener after the reply is logged and stops the later listeners of its event', async (t) => {
  for (const [
    what,
    {
      events: [name],
      options,
      status,
      background,
      run
    }
  ] of Object.entries(requestCases)) {
    if (background !== true || name === undefined) continue
    let later = 0
    let error: unknown
    const lines: string[] = []
    const logger = {
      level: 'error',
      stream: {
        write (line: string) {
          lines.push(line)
        }
      }
    }
    const { adapter, snapshot } = watchedAdapter(memory())
    const built = await buildApp(
      t,
      { ...options, adapter },
      (app) => {
        addListener({ app }, name, () => {
          throw error
        })
        addListener({ app }, name, () => {
          later++
        })
      },
      { logger }
    )
    await built.create()
    await built.app.users.settled()
    const restore = await snapshot()
    for (const [fault, [thrown]] of Object.entries(listenerErrors)) {
      await built.app.users.settled()
      await restore()
      lines.length = 0
      later = 0
      error = thrown
      const reply = await run(built)
      await built.app.users.settled()
      t.equal(reply.statusCode, status, `${what}: ${fault}`)
      t.equal(lines.length, 1, `${what}: ${fault} is logged`)
      t.equal(later, 0, `${what}: ${fault}`)
      t.equal((await run(built)).statusCode, status, 'the next request is served')
    }
  }
})

t.test(
  'onLoginFailed gets the reason, even if the reply hides it, and may refuse with another status',
  async (t) => {
    const seen: unknown[] = []
    let limit = false
    const built = await withArthur(t, { requireVerification: true }, (app) => {
      app.users.addHook('onLoginFailed', ({ reason, username, user, backend }) => {
        seen.push([reason, username, user?.email ?? null, backend])
        if (limit) throw Object.assign(new Error('Slow down.'), { statusCode: 429, code: 'TOO_MANY' })
      })
      app.users.addHook('onBeforeLogin', () => {
        throw REFUSED
      })
    })
    await built.create({ email: LANCELOT, is_active: false })
    await built.create({ email: 'galahad@camelot.bt', is_verified: true })
    const login = async (username: string, password = PASSWORD): Promise<number> =>
      (await built.login('jwt', username, password)).statusCode
    t.equal(await login('nobody@camelot.bt'), 400)
    t.equal(await login(ARTHUR, 'wrong'), 400)
    t.equal(await login(LANCELOT), 400)
    t.equal(await login(ARTHUR), 400)
    t.equal(await login('galahad@camelot.bt'), 402)
    t.same(seen, [
      ['UNKNOWN_USER', 'nobody@camelot.bt', null, 'jwt'],
      ['WRONG_PASSWORD', ARTHUR, ARTHUR, 'jwt'],
      ['INACTIVE', LANCELOT, LANCELOT, 'jwt'],
      ['NOT_VERIFIED', ARTHUR, ARTHUR, 'jwt'],
      ['REFUSED', 'galahad@camelot.bt', 'galahad@camelot.bt', 'jwt']
    ])
    limit = true
    const reply = await built.login('jwt', ARTHUR, 'wrong')
    t.same([reply.statusCode, reply.json<{ code: string }>().code], [429, 'TOO_MANY'])
  }
)

t.test('onBeforeLogin may require another step: the reply is a 403 without a token', async (t) => {
  let later = 0
  for (const backend of ['jwt', 'cookie']) {
    const built = await withArthur(
      t,
      { hooks: { onBeforeLogin: () => ({ pending: { code: 'TOTP_NEEDED', body: { methods: ['totp'] } } }) } },
      (app) => {
        for (const name of ['onBeforeLogin', 'onIssueToken', 'onAfterLogin'] as const) {
          addListener({ app }, name, () => {
            later++
          })
        }
      }
    )
    const reply = await built.login(backend, ARTHUR)
    t.match(
      [reply.statusCode, reply.json()],
      [403, { code: 'FST_USERS_LOGIN_PENDING', detail: { code: 'TOTP_NEEDED', methods: ['totp'] } }]
    )
    t.equal(reply.headers['set-cookie'], undefined)
    t.notMatch(reply.body, 'access_token')
  }
  t.equal(later, 0)
})

t.test('return values of listeners are ignored, except `pending` of onBeforeLogin', async (t) => {
  const values: unknown[] = [
    1,
    0,
    'text',
    '',
    true,
    false,
    5n,
    [],
    {},
    () => {},
    null,
    undefined,
    { pending: { code: 'X' } }
  ]
  for (const [what, { options, status, run }, names] of casesWithNewEvents) {
    if (names.length === 0) continue
    let value: unknown
    let ignored: EventName[] = []
    const later = new Set<EventName>()
    const { adapter, snapshot } = watchedAdapter(memory())
    const listeners = names.map((name) => [name, () => (ignored.includes(name) ? value : undefined)])
    const hooks = asUsersHooks(Object.fromEntries(listeners))
    const built = await withArthur(t, { ...options, adapter, hooks }, (app) => {
      for (const name of names) {
        addListener({ app }, name, () => {
          if (ignored.includes(name)) later.add(name)
        })
      }
    })
    await built.app.users.settled()
    const restore = await snapshot()
    for (value of values) {
      const returned = value
      ignored = names.filter(
        (name) =>
          name !== 'onBeforeLogin' || typeof returned !== 'object' || returned === null || !('pending' in returned)
      )
      if (ignored.length === 0) continue
      const about = `returns ${typeof value} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`
      await restore()
      later.clear()
      const reply = await run(built)
      await built.app.users.settled()
      t.equal(reply.statusCode, status, `${what} ${about}`)
      t.same([...later].sort(), [...ignored].sort(), `${what} ${about}: the next listeners run`)
    }
  }
})

t.test('onIssueToken may add refresh_token and expires_in to the bearer reply', async (t) => {
  const built = await withArthur(t, {
    hooks: {
      onIssueToken ({ issued }) {
        issued.refresh_token = 'again'
        issued.expires_in = issued.lifetimeSeconds ?? 0
      }
    }
  })
  t.match((await built.login('jwt', ARTHUR)).json(), { token_type: 'bearer', refresh_token: 'again', expires_in: 3600 })
  t.equal((await built.login('cookie', ARTHUR)).statusCode, 204)
})

t.test('row 61: onAfterLogin can add headers to the reply', async (t) => {
  const built = await withArthur(t, {
    hooks: {
      onAfterLogin (_payload, { reply }) {
        reply?.header('x-welcome', 'Arthur')
      }
    }
  })
  for (const backend of ['jwt', 'cookie']) t.equal((await built.login(backend, ARTHUR)).headers['x-welcome'], 'Arthur')
})

t.test('settled() and close() wait for listeners that run after the reply', async (t) => {
  let release = (): void => {}
  const steps: string[] = []
  const blockListener = (): void => {
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    current = held
  }
  let current: Promise<void> = Promise.resolve()
  const built = await withArthur(t, {
    hooks: {
      async onAfterForgotPassword () {
        steps.push('starts')
        await current
        steps.push('ends')
      }
    }
  })
  const { app } = built
  t.equal(await app.users.settled(), undefined, 'settled() resolves without listeners')

  blockListener()
  t.equal((await built.send('POST', '/auth/forgot-password', { email: ARTHUR })).statusCode, 202)
  t.notOk(steps.includes('ends'), 'the reply does not wait for the listener')
  const settled = app.users.settled().then(() => {
    steps.push('settled')
  })
  await nextTurn()
  release()
  await settled
  t.same(steps, ['starts', 'ends', 'settled'])

  steps.length = 0
  blockListener()
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
  const closed = app.close().then(() => {
    steps.push('closed')
  })
  await nextTurn()
  release()
  await closed
  t.same(steps, ['starts', 'ends', 'closed'])
})

t.test('a listener that runs after the reply can use the store while the application closes', async (t) => {
  const found: unknown[] = []
  let release = (): void => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const built = await withArthur(t, {}, (app) => {
    app.users.addHook('onAfterForgotPassword', async () => {
      await held
      found.push((await app.users.getByEmail(ARTHUR))?.email)
    })
  })
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
  const closed = built.app.close()
  release()
  await closed
  t.same(found, [ARTHUR])
})

t.test('LOGG-01: no event payload contains a password, a hash or a security stamp', async (t) => {
  const payloads: [EventName, unknown][] = []
  const hashes = new Set<string>()
  const store = memory()
  const adapter = new Proxy(store, {
    get (target, key) {
      const method: unknown = Reflect.get(target, key)
      if (typeof method !== 'function') return method
      return (...args: unknown[]): unknown => {
        for (const row of args.slice(1) as Record<string, unknown>[]) {
          for (const name of ['hashed_password', 'session_stamp']) {
            if (typeof row?.[name] === 'string') hashes.add(row[name])
          }
        }
        return (method as (...args: unknown[]) => unknown).apply(target, args)
      }
    }
  })
  const schemas = userSchemas({
    nickname: Type.Optional(Type.String()),
    settings: Type.Optional(Type.Object({ theme: Type.String() }))
  })
  for (const { events, options, run } of Object.values(requestCases)) {
    const built = await buildApp(
      t,
      { ...options, adapter: adapter as DatabaseAdapter, schemas, backends: backends() },
      (app) => {
        for (const name of eventNames) {
          addListener({ app }, name, (payload) => {
            payloads.push([name, structuredClone(payload)])
          })
        }
      }
    )
    if (!(await userExists(built, OTHER_SUPERUSER))) await built.create({ email: OTHER_SUPERUSER, is_superuser: true })
    await built.create({ is_superuser: true, nickname: 'Wart', settings: { theme: 'dark' } })
    await run(built)
    await built.app.users.settled()
    for (const email of [ARTHUR, LANCELOT]) {
      const user = await built.app.users.getByEmail(email)
      if (user !== null) await built.app.users.delete(user)
    }
    t.ok(events.every((name) => payloads.some(([event]) => event === name)))
  }
  t.ok(hashes.size > 10)
  const texts = (value: unknown, path: string): [string, string][] =>
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, inner]) => texts(inner, `${path}.${key}`))
      : [[path, String(value)]]
  const all = payloads.flatMap(([name, payload]) => texts(payload, name))
  t.ok(
    all.some(([, text]) => text === 'Wart'),
    'nested values are searched'
  )
  const found = all.filter(
    ([path, text]) =>
      text.includes(PASSWORD) ||
      text.includes(NEW_PASSWORD) ||
      text.startsWith('$argon2') ||
      hashes.has(text) ||
      /hash|stamp/.test(path)
  )
  t.same(found, [])
  const masked = payloads
    .filter(([name, payload]) => name.endsWith('Update') && 'password' in (payload as { changes: object }).changes)
    .map(([, payload]) => (payload as { changes: { password: string } }).changes.password)
  t.same([...new Set(masked)], ['**********'], 'a changed password is masked')
})

t.test('close() stops waiting for a listener that never ends, and logs the number of such listeners', async (t) => {
  const lines: string[] = []
  const built = await buildApp(t, { hooks: { onAfterForgotPassword: () => new Promise(() => {}) } }, () => {}, {
    logger: {
      level: 'error',
      stream: {
        write: (line: string) => {
          lines.push(line)
        }
      }
    }
  })
  await built.create()
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
  await built.app.close()
  t.match(
    lines.map((line) => JSON.parse(line) as object),
    [{ unfinished: 1, msg: 'fastify-users: closed before all background work was done' }]
  )
})

t.test('ERR-01: a refusal may have a status without a standard name, or be a validation error', async (t) => {
  let thrown: Error = refuse(499, 'CASTLE_CLOSED', 'Come again tomorrow.')
  const built = await buildApp(t, {
    hooks: {
      onBeforeRegister: () => {
        throw thrown
      }
    }
  })
  const register = async (): Promise<object> =>
    (await built.send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD })).json<object>()
  t.same(await register(), {
    statusCode: 499,
    code: 'FST_USERS_REFUSED',
    error: 'Error',
    message: 'Come again tomorrow.',
    detail: 'CASTLE_CLOSED'
  })
  thrown = Object.assign(new Error('body/email is banned'), {
    validation: [{ instancePath: '/email', keyword: 'banned', params: {} }]
  })
  t.same(await register(), {
    statusCode: 400,
    code: 'FST_ERR_VALIDATION',
    error: 'Bad Request',
    message: 'body/email is banned',
    detail: [{ path: '/email', keyword: 'banned', message: 'is not valid' }]
  })
})
