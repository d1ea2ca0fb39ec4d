import { setImmediate as nextTurn } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import {
  memory,
  refuse,
  userSchemas,
  type DatabaseAdapter,
  type EventContext,
  type EventName,
  type UsersHook,
  type UsersHooks,
  type UsersOptions
} from '../lib/index.js'
import { eventNames } from '../lib/hooks/index.js'
import { ARTHUR, PASSWORD, backends, buildApp, type TestApp } from './helpers/build-app.js'

const LANCELOT = 'lancelot@camelot.bt'
const NEW_PASSWORD = 'excalibur-9'

type AnyHook = (payload: Record<string, unknown>, context: EventContext) => unknown
/** Listeners of any event; what they return is not looked at, except by the plugin. */
const hooksOf = (hooks: Partial<Record<EventName, AnyHook>>): UsersHooks => hooks as UsersHooks
const add = (built: { app: TestApp['app'] }, name: EventName, hook: AnyHook): void => {
  built.app.users.addHook(name, hook as UsersHook<EventName>)
}

interface Journey {
  /** Events that the request fires, in order. */
  fires: readonly EventName[]
  options?: Partial<UsersOptions>
  /** The status of the reply when nobody objects. */
  status: number
  /** The request is answered before the listeners run. */
  background?: true
  run(built: TestApp): Promise<LightMyRequestResponse>
  /** Whether the request has taken effect. */
  done(built: TestApp): Promise<boolean>
}

const OTHER_SUPERUSER = 'lady.of.the.lake@camelot.bt'
const exists = async ({ app }: TestApp, email: string): Promise<boolean> => (await app.users.getByEmail(email)) !== null
const opens = async (built: TestApp, password: string): Promise<boolean> =>
  (await built.app.users.checkCredentials({ username: ARTHUR, password })) !== null
const form = { username: ARTHUR, password: PASSWORD }

/** One request for every event. Arthur is an unverified superuser, and not the only one. */
const journeys: Record<string, Journey> = {
  register: {
    fires: ['onBeforeRegister', 'onAfterRegister'],
    status: 201,
    run: ({ send }) => send('POST', '/auth/register', { email: LANCELOT, password: PASSWORD }),
    done: (built) => exists(built, LANCELOT)
  },
  'register quietly': {
    fires: ['onBeforeRegister'],
    options: { revealExistingAccounts: false },
    status: 202,
    run: ({ send }) => send('POST', '/auth/register', { email: LANCELOT, password: PASSWORD }),
    done: (built) => exists(built, LANCELOT)
  },
  'register a known address quietly': {
    fires: ['onRegisterExisting'],
    options: { revealExistingAccounts: false },
    status: 202,
    background: true,
    run: ({ send }) => send('POST', '/auth/register', { email: ARTHUR, password: NEW_PASSWORD }),
    done: async () => true
  },
  'change the own profile': {
    fires: ['onBeforeUpdate', 'onAfterUpdate'],
    status: 200,
    run: async ({ send, bearer }) => await send('PATCH', '/users/me', { password: NEW_PASSWORD }, await bearer(ARTHUR)),
    done: (built) => opens(built, NEW_PASSWORD)
  },
  'change a user': {
    fires: ['onBeforeUpdate', 'onAfterUpdate'],
    status: 200,
    run: async ({ app, send, bearer }) =>
      await send(
        'PATCH',
        `/users/${(await app.users.getByEmail(ARTHUR))?.id ?? ''}`,
        { is_verified: true },
        await bearer(ARTHUR)
      ),
    done: async ({ app }) => (await app.users.getByEmail(ARTHUR))?.is_verified === true
  },
  'delete a user': {
    fires: ['onBeforeDelete', 'onAfterDelete'],
    status: 204,
    run: async ({ app, send, bearer }) =>
      await send('DELETE', `/users/${(await app.users.getByEmail(ARTHUR))?.id ?? ''}`, undefined, await bearer(ARTHUR)),
    done: async (built) => !(await exists(built, ARTHUR))
  },
  'ask for a verify token': {
    fires: ['onAfterRequestVerify'],
    status: 202,
    background: true,
    run: ({ send }) => send('POST', '/auth/request-verify-token', { email: ARTHUR }),
    done: async () => true
  },
  verify: {
    fires: ['onAfterVerify'],
    status: 200,
    run: async (built) => {
      await built.app.users.requestVerify(ARTHUR)
      return await built.send('POST', '/auth/verify', { token: await built.tokenOf('onAfterRequestVerify') })
    },
    done: async ({ app }) => (await app.users.getByEmail(ARTHUR))?.is_verified === true
  },
  'ask for a reset token': {
    fires: ['onAfterForgotPassword'],
    status: 202,
    background: true,
    run: ({ send }) => send('POST', '/auth/forgot-password', { email: ARTHUR }),
    done: async () => true
  },
  'reset the password': {
    fires: ['onAfterVerify', 'onAfterResetPassword'],
    status: 200,
    run: async (built) => {
      await built.app.users.forgotPassword(ARTHUR)
      return await built.send('POST', '/auth/reset-password', {
        token: await built.tokenOf('onAfterForgotPassword'),
        password: NEW_PASSWORD
      })
    },
    done: (built) => opens(built, NEW_PASSWORD)
  },
  login: {
    fires: ['onBeforeLogin', 'onIssueToken', 'onAfterLogin'],
    status: 200,
    run: ({ send }) => send('POST', '/auth/jwt/login', form),
    done: async () => true
  },
  'log in with a cookie': {
    fires: ['onBeforeLogin', 'onIssueToken', 'onAfterLogin'],
    status: 204,
    run: ({ send }) => send('POST', '/auth/cookie/login', form),
    done: async () => true
  },
  'log in with a wrong password': {
    fires: ['onLoginFailed'],
    status: 400,
    run: ({ send }) => send('POST', '/auth/jwt/login', { ...form, password: NEW_PASSWORD }),
    done: async () => true
  },
  'log out': {
    fires: ['onAfterLogout'],
    status: 204,
    run: async ({ send, cookie }) => await send('POST', '/auth/cookie/logout', undefined, await cookie(ARTHUR)),
    done: async () => true
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

/** Events that routes of features fire. */
const ofFeatures = ['onAfterLink', 'onAfterUnlink']

t.test('every event has a request in the tests below', async (t) => {
  t.same(
    [...new Set(Object.values(journeys).flatMap(({ fires }) => fires)), ...ofFeatures].sort(),
    [...eventNames].sort()
  )
})

t.test('row 60: listeners of an event run one after the other, that of the options first', async (t) => {
  for (const [what, { fires, options, status, run }] of Object.entries(journeys)) {
    for (const name of fires) {
      const seen: string[] = []
      const listener =
        (which: string): AnyHook =>
          async () => {
            seen.push(`${which} starts`)
            await nextTurn()
            await nextTurn()
            seen.push(`${which} ends`)
          }
      const built = await withArthur(t, { ...options, hooks: hooksOf({ [name]: listener('option') }) }, (app) => {
        add({ app }, name, listener('first'))
        add({ app }, name, () => {
          seen.push('synchronous')
        })
        add({ app }, name, listener('last'))
      })
      await built.app.users.settled()
      seen.length = 0
      const reply = await run(built)
      await built.app.users.settled()
      t.equal(reply.statusCode, status, what)
      const once = [
        'option starts',
        'option ends',
        'first starts',
        'first ends',
        'synchronous',
        'last starts',
        'last ends'
      ]
      t.same(seen.slice(-once.length), once, `${what}: ${name}`)
      t.equal(seen.length % once.length, 0, `${what}: ${name}`)
    }
  }
})

t.test("row 60: a request fires its events in order, with the contract's payloads and the request", async (t) => {
  const payloads: Record<EventName, string[]> = {
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
    onAfterLogin: ['backend', 'method', 'user'],
    onLoginFailed: ['backend', 'reason', 'user', 'username'],
    onAfterLogout: ['backend', 'user'],
    onAfterLink: ['account', 'user'],
    onAfterUnlink: ['account', 'user'],
    onBeforeDelete: ['user'],
    onAfterDelete: ['user']
  }
  for (const [what, { fires, options, run }] of Object.entries(journeys)) {
    const seen: { name: EventName; payload: Record<string, unknown>; context: EventContext }[] = []
    const built = await withArthur(t, { ...options }, (app) => {
      for (const name of eventNames) {
        add({ app }, name, (payload, context) => {
          seen.push({ name, payload, context })
        })
      }
    })
    seen.length = 0
    const reply = await run(built)
    await built.app.users.settled()
    const names = seen.map(({ name }) => name)
    const fired =
      what === 'register quietly'
        ? [...fires, 'onAfterRegister']
        : what === 'register a known address quietly'
          ? ['onBeforeRegister', ...fires]
          : fires
    t.same(names.slice(-fired.length), fired, what)
    for (const {
      name,
      payload,
      context: { request, reply: answer }
    } of seen.slice(-fired.length)) {
      t.same(Object.keys(payload).sort(), payloads[name], `${what}: ${name}`)
      t.equal(request?.url, reply.raw.req.url, `${what}: ${name} has the request`)
      t.equal(answer?.request, request, `${what}: ${name} has its reply`)
    }
  }
})

t.test('row 60: events of calls without a request have null for request and reply', async (t) => {
  const contexts: [EventName, EventContext][] = []
  const built = await buildApp(t, {}, (app) => {
    for (const name of eventNames) {
      add({ app }, name, (_payload, context) => {
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
  const expected = eventNames.filter((name) => !['onAfterLogout', 'onRegisterExisting', ...ofFeatures].includes(name))
  t.same([...new Set(contexts.map(([name]) => name))].sort(), [...expected].sort())
  for (const [name, context] of contexts) t.same(context, { request: null, reply: null }, name)
})

/** Errors of listeners, and the reply: its status, code and message. Other errors become the fixed 500. */
const REFUSED = Object.assign(new Error('Not today.'), { statusCode: 402, code: 'PAY_FIRST', detail: { price: 5 } })
const FIXED: [number, string] = [500, 'FST_USERS_INTERNAL_ERROR']
const faults: Record<string, [unknown, [number, string]]> = {
  'a plain error': [new Error('canary: db.internal'), FIXED],
  'an error with a code': [Object.assign(new Error('canary'), { code: 'ECONNREFUSED' }), FIXED],
  'an error with status 500': [Object.assign(new Error('canary'), { statusCode: 500, code: 'X' }), FIXED],
  'an error with status 503': [Object.assign(new Error('canary'), { statusCode: 503, code: 'X' }), FIXED],
  'an error with status 200': [Object.assign(new Error('canary'), { statusCode: 200, code: 'X' }), FIXED],
  'an error with status 302': [Object.assign(new Error('canary'), { statusCode: 302, code: 'X' }), FIXED],
  'an error with text for a status': [Object.assign(new Error('canary'), { statusCode: '404', code: 'X' }), FIXED],
  text: ['canary', FIXED],
  'a number': [42, FIXED],
  null: [null, FIXED],
  undefined: [undefined, FIXED],
  'a refusal': [REFUSED, [402, 'PAY_FIRST']],
  'a refusal made by refuse()': [refuse(423, 'LOCKED', 'Locked.'), [423, 'FST_USERS_REFUSED']],
  'a refusal without code': [Object.assign(new Error('Not today.'), { statusCode: 409 }), [409, 'FST_USERS_REFUSED']]
}

/** Each journey with those of its events that no journey before it has. */
const firstOfEvent: [string, Journey, EventName[]][] = Object.entries(journeys).map(([what, journey], i, all) => [
  what,
  journey,
  journey.fires.filter((name) => !all.slice(0, i).some(([, { fires }]) => fires.includes(name)))
])

t.test(
  'ERR-01, ERR-02: a listener before the deed that throws prevents it; a 4xx error is the reply, any other a fixed 500',
  async (t) => {
    for (const [what, { options, run, done }, names] of firstOfEvent) {
      for (const name of names.filter((event) => event.startsWith('onBefore'))) {
        for (const [fault, [error, expected]] of Object.entries(faults)) {
          let later = 0
          const built = await withArthur(t, { ...options }, (app) => {
            const isKnown = ({ email }: { email: string }): boolean => [ARTHUR, OTHER_SUPERUSER].includes(email)
            let armed = name !== 'onBeforeRegister' // those who are there before are let in
            if (name === 'onBeforeLogin') armed = what.startsWith('log')
            add({ app }, name, ({ user }) => {
              if (!armed && isKnown(user as { email: string })) return
              throw error
            })
            add({ app }, name, ({ user }) => {
              if (!isKnown(user as { email: string }) || name !== 'onBeforeRegister') later++
            })
          })
          const reply = await run(built)
          const about = `${what}: ${name} throws ${fault}`
          t.same([reply.statusCode, reply.json<{ code: string }>().code], expected, about)
          t.notMatch(reply.body, 'canary', about)
          t.equal(later, 0, `${about}: later listeners do not run`)
          t.notOk(name !== 'onBeforeLogin' && (await done(built)), `${about}: nothing happened`)
          t.equal(reply.headers['set-cookie'], undefined, about)
          t.notMatch(reply.body, 'access_token', about)
          if (error === REFUSED) t.match(reply.json(), { message: 'Not today.', detail: { price: 5 } })
        }
      }
    }
  }
)

t.test('row 62: onBeforeDelete keeps the user, whose session goes on', async (t) => {
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

t.test('ERR-01: a listener after the deed that throws fails the request, and the deed stays done', async (t) => {
  for (const [what, { options, background, run, done }, names] of firstOfEvent) {
    for (const name of names.filter((event) => !event.startsWith('onBefore'))) {
      if (background === true) continue
      for (const [fault, [error, expected]] of Object.entries(faults)) {
        let armed = false
        const built = await withArthur(t, { ...options }, (app) => {
          add({ app }, name, () => {
            if (armed) throw error
          })
        })
        armed = true
        const reply = await run(built)
        const about = `${what}: ${name} throws ${fault}`
        t.same([reply.statusCode, reply.json<{ code: string }>().code], expected, about)
        t.notMatch(reply.body, 'canary', about)
        armed = false
        t.ok(await done(built), `${about}: it is done`)
      }
    }
  }
})

t.test('ERR-02: a listener of a login that throws leaves no session behind', async (t) => {
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
      hooks: hooksOf({
        [name] () {
          throw new Error('no')
        }
      })
    })
    written.length = 0
    const reply = await built.send('POST', '/auth/cookie/login', form)
    t.equal(reply.statusCode, 500)
    t.equal(reply.headers['set-cookie'], undefined)
    t.equal(written.length, name === 'onBeforeLogin' ? 0 : 1, 'a token is made only after onBeforeLogin')
    const tokens = models.find((model) => model.name === 'accesstoken')
    t.same(tokens && (await adapter.findMany(tokens, {}, { limit: 9 })), [], name)
  }
})

t.test(
  'REG-02, RST-01, VER-01: listeners that send mail begin after the reply has been sent, their synchronous part too',
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
        add({ app }, name as EventName, (_payload, { reply }) => {
          if (reply !== null) seen.push(reply.raw.writableFinished ? 'mail after the reply' : 'mail before the reply')
        })
      })
      await built.create()
      t.equal((await run(built)).statusCode, status, what)
      await built.app.users.settled()
      t.equal(seen.filter((entry) => String(entry).startsWith('mail')).join(), 'mail after the reply', what)
      t.equal(seen.at(-1), 'mail after the reply', `${what}: last of all`)
    }
  }
)

t.test(
  'work after a reply that never comes begins when the connection ends, and work without a reply begins at once',
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

t.test('an error of a listener after the reply is logged, changes no reply and stops only its own event', async (t) => {
  for (const [
    what,
    {
      fires: [name],
      options,
      status,
      background,
      run
    }
  ] of Object.entries(journeys)) {
    if (background !== true || name === undefined) continue
    for (const [fault, [error]] of Object.entries(faults)) {
      let later = 0
      const lines: string[] = []
      const logger = {
        level: 'error',
        stream: {
          write (line: string) {
            lines.push(line)
          }
        }
      }
      const built = await buildApp(
        t,
        { ...options },
        (app) => {
          add({ app }, name, () => {
            throw error
          })
          add({ app }, name, () => {
            later++
          })
        },
        { logger }
      )
      await built.create()
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
  'onLoginFailed tells why, also of users that the reply does not tell of, and may refuse with its own status',
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

t.test('onBeforeLogin may ask for a further step: 403 with its code, no token, and no later listener', async (t) => {
  let later = 0
  for (const backend of ['jwt', 'cookie']) {
    const built = await withArthur(
      t,
      { hooks: { onBeforeLogin: () => ({ pending: { code: 'TOTP_NEEDED', body: { methods: ['totp'] } } }) } },
      (app) => {
        for (const name of ['onBeforeLogin', 'onIssueToken', 'onAfterLogin'] as const) {
          add({ app }, name, () => {
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

t.test('what listeners return is not looked at, except a pending step of onBeforeLogin', async (t) => {
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
  for (const value of values) {
    const about = `returns ${typeof value} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`
    for (const [what, { options, status, run }, names] of firstOfEvent) {
      const silent = names.filter(
        (name) => name !== 'onBeforeLogin' || typeof value !== 'object' || value === null || !('pending' in value)
      )
      if (silent.length === 0) continue
      const later = new Set<EventName>()
      const built = await withArthur(
        t,
        { ...options, hooks: hooksOf(Object.fromEntries(silent.map((name) => [name, () => value]))) },
        (app) => {
          for (const name of silent) {
            add({ app }, name, () => {
              later.add(name)
            })
          }
        }
      )
      await built.app.users.settled()
      later.clear()
      const reply = await run(built)
      await built.app.users.settled()
      t.equal(reply.statusCode, status, `${what} ${about}`)
      t.same([...later].sort(), [...silent].sort(), `${what} ${about}: the next listeners run`)
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

t.test('settled() and close() wait for listeners that run after replies', async (t) => {
  let release = (): void => {}
  const steps: string[] = []
  const gate = (): void => {
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
  t.equal(await app.users.settled(), undefined, 'nothing to wait for')

  gate()
  t.equal((await built.send('POST', '/auth/forgot-password', { email: ARTHUR })).statusCode, 202)
  t.notOk(steps.includes('ends'), 'the reply does not wait')
  const settled = app.users.settled().then(() => {
    steps.push('settled')
  })
  await nextTurn()
  release()
  await settled
  t.same(steps, ['starts', 'ends', 'settled'])

  steps.length = 0
  gate()
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
  const closed = app.close().then(() => {
    steps.push('closed')
  })
  await nextTurn()
  release()
  await closed
  t.same(steps, ['starts', 'ends', 'closed'])
})

t.test('work after a reply can use the store while the application closes', async (t) => {
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

t.test('LOGG-01: no payload of any event holds a password, a hash or a stamp', async (t) => {
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
  for (const { fires, options, run } of Object.values(journeys)) {
    const built = await buildApp(
      t,
      { ...options, adapter: adapter as DatabaseAdapter, schemas, backends: backends() },
      (app) => {
        for (const name of eventNames) {
          add({ app }, name, (payload) => {
            payloads.push([name, structuredClone(payload)])
          })
        }
      }
    )
    if (!(await exists(built, OTHER_SUPERUSER))) await built.create({ email: OTHER_SUPERUSER, is_superuser: true })
    await built.create({ is_superuser: true, nickname: 'Wart', settings: { theme: 'dark' } })
    await run(built)
    await built.app.users.settled()
    for (const email of [ARTHUR, LANCELOT]) {
      const user = await built.app.users.getByEmail(email)
      if (user !== null) await built.app.users.delete(user)
    }
    t.ok(fires.every((name) => payloads.some(([event]) => event === name)))
  }
  t.ok(hashes.size > 10)
  const texts = (value: unknown, path: string): [string, string][] =>
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, inner]) => texts(inner, `${path}.${key}`))
      : [[path, String(value)]]
  const all = payloads.flatMap(([name, payload]) => texts(payload, name))
  t.ok(
    all.some(([, text]) => text === 'Wart'),
    'the search is deep'
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

t.test('close() gives up a listener that never ends, and logs how many were left', async (t) => {
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

t.test("ERR-01: a refusal may have a status without a name, and problems of the application's own", async (t) => {
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
