import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { authenticate, FST_USERS_STORE_UNAVAILABLE, refuse, type AuditEvent, type UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { watchedAdapter, type WatchedAdapter } from './fixtures/watched-adapter.js'
import { checkAuditEvents, collectAuditEvents } from './helpers/audited-events.js'
import { ARTHUR, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { codes, terms, type Codes } from './helpers/login-features.js'

const MERLIN = 'merlin@camelot.bt'
const LANCELOT = 'lancelot@camelot.bt'
const NEW_PASSWORD = 'excalibur-9'
const AGENT = 'Camelot/1.0'

interface AuditedApp extends TestApp {
  id: string
  adminId: string
  own: Record<string, string>
  admin: Record<string, string>
  session: Record<string, string>
  store: WatchedAdapter
}

interface AuditCase {
  run(built: AuditedApp): Promise<LightMyRequestResponse | undefined>
  /** The values of the events, in order. `id` stands for the id of the user, `admin` for that of the superuser. */
  events: (Partial<AuditEvent> & { event: string })[]
  options?: Partial<UsersOptions>
}

/** Creates an application with two users and their sessions. */
async function start (t: Test, options: Partial<UsersOptions>): Promise<AuditedApp> {
  const store = watchedAdapter(memory())
  const built = await buildApp(t, { adapter: store.adapter, ...options }, (app) => {
    app.get('/knights/:name', { preHandler: authenticate({ superuser: true }) }, async () => 'in')
    app.post('/knights', { preHandler: authenticate }, async () => 'in')
    app.get('/inside', async (request, reply) => (await app.authenticate(request, reply))?.id)
  })
  const { id } = await built.create({ is_verified: options.revealExistingAccounts === false })
  const admin = await built.create({ email: MERLIN, is_superuser: true, is_verified: true })
  const send: TestApp['send'] = (method, url, payload, headers = {}) =>
    built.send(method, url, payload, { 'user-agent': AGENT, ...headers })
  const hasSteps = options.features !== undefined
  return {
    ...built,
    send,
    store,
    id: String(id),
    adminId: String(admin.id),
    own: hasSteps ? {} : await built.bearer(ARTHUR),
    admin: hasSteps ? {} : await built.bearer(MERLIN),
    session: hasSteps ? {} : await built.cookie(ARTHUR)
  }
}

const login = ({ send }: AuditedApp, username = ARTHUR, password = PASSWORD): Promise<LightMyRequestResponse> =>
  send('POST', '/auth/jwt/login', { username, password })
const crossSite = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }
const masked = 'k***@camelot.bt'
const byUser = { actor_type: 'user', actor_id: 'id', target_type: 'user', target_id: 'id', target_email: masked } as const
const byAdmin = { ...byUser, actor_type: 'superuser', actor_id: 'admin' } as const
const byNobody = { ...byUser, actor_type: 'anonymous', actor_id: null } as const
const ended = { event: 'session.end', actor_type: 'system', target_id: 'id', details: { sessions: 'all' } } as const

const cases: Record<string, AuditCase> = {
  register: {
    run: ({ send }) => send('POST', '/auth/register', { email: LANCELOT, password: PASSWORD }),
    events: [{ event: 'user.register', outcome: 'success', actor_type: 'user', target_email: 'l***@camelot.bt' }]
  },
  'register a known e-mail': {
    run: ({ send }) => send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD }),
    events: [{ event: 'user.register', outcome: 'failure', reason: 'REGISTER_USER_ALREADY_EXISTS', target_email: masked }]
  },
  'register a known e-mail with hidden accounts': {
    options: { revealExistingAccounts: false },
    run: ({ send }) => send('POST', '/auth/register', { email: ARTHUR, password: PASSWORD }),
    events: [{ event: 'user.register', outcome: 'failure', reason: 'USER_ALREADY_EXISTS', target_id: 'id' }]
  },
  'register with a common password': {
    run: ({ send }) => send('POST', '/auth/register', { email: LANCELOT, password: 'password1' }),
    events: [{ event: 'user.register', outcome: 'failure', reason: 'REGISTER_INVALID_PASSWORD', target_email: 'l***@camelot.bt' }]
  },
  'register, refused by a hook': {
    run: ({ send }) => send('POST', '/auth/register', { email: 'mordred@camelot.bt', password: PASSWORD }),
    options: {
      hooks: {
        onBeforeRegister: ({ user }) => {
          if (user.email.startsWith('mordred')) throw refuse(403, 'KNIGHTS_ONLY', 'Only knights')
        }
      }
    },
    events: [{ event: 'user.register', outcome: 'blocked', reason: 'KNIGHTS_ONLY', target_email: 'm***@camelot.bt' }]
  },
  'create a user by code': {
    run: async ({ app }) => {
      await app.users.create({ email: LANCELOT, password: PASSWORD })
      return undefined
    },
    events: [{ event: 'user.register', outcome: 'success', actor_type: 'code', actor_id: null, ip: null, request_id: null }]
  },
  'log in': {
    run: login,
    events: [{ event: 'login', outcome: 'success', reason: null, ...byUser, backend: 'jwt', method: 'password' }]
  },
  'log in with a wrong password': {
    run: (built) => login(built, ARTHUR, 'wrong'),
    events: [{ event: 'login', outcome: 'failure', reason: 'WRONG_PASSWORD', ...byNobody, backend: 'jwt' }]
  },
  'log in with an unknown e-mail': {
    run: (built) => login(built, LANCELOT),
    events: [
      { event: 'login', outcome: 'failure', reason: 'UNKNOWN_USER', target_id: null, target_email: 'l***@camelot.bt' }
    ]
  },
  'log in with a password in the field of the e-mail': {
    run: (built) => login(built, PASSWORD),
    events: [{ event: 'login', outcome: 'failure', reason: 'UNKNOWN_USER', target_id: null, target_email: null }]
  },
  'log in, refused by a hook': {
    run: login,
    options: {
      hooks: {
        onBeforeLogin: (_, { request }) => {
          if (request?.headers['user-agent'] === AGENT) throw refuse(403, 'NOT_NOW', 'Not now')
        }
      }
    },
    events: [{ event: 'login', outcome: 'blocked', reason: 'REFUSED', target_id: 'id' }]
  },
  'log in, with a step that a hook asks for': {
    run: login,
    options: {
      hooks: {
        onBeforeLogin: (_, { request }) =>
          request?.headers['user-agent'] === AGENT ? { pending: { code: 'SECOND_FACTOR' } } : undefined
      }
    },
    events: [{ event: 'login', outcome: 'pending', reason: 'SECOND_FACTOR', ...byUser, session_id: null }]
  },
  'log in, with a step of a feature': {
    run: login,
    options: { features: [terms()] },
    events: [{ event: 'login', outcome: 'pending', reason: 'LOGIN_STEP_REQUIRED', details: { steps: 'terms' } }]
  },
  'answer a step wrongly, then rightly, then again': {
    options: { features: [codes()] },
    async run (built) {
      await (built.app.users.feature('codes') as Codes).enrol({ id: built.id })
      const { ticket } = (await login(built)).json<{ detail: { ticket: string } }>().detail
      await built.send('POST', '/auth/jwt/login/code', { ticket, code: 'wrong' })
      const code = built.app.users.feature('codes') as Codes
      await built.send('POST', '/auth/jwt/login/code', { ticket, code: code.sent.at(-1) })
      return await built.send('POST', '/auth/jwt/login/code', { ticket, code: code.sent.at(-1) })
    },
    events: [
      { event: 'login', outcome: 'pending' },
      { event: 'login', outcome: 'failure', reason: 'STEP_FAILED', target_id: 'id' },
      { event: 'login', outcome: 'success', target_id: 'id' },
      { event: 'login', outcome: 'failure', reason: 'LOGIN_TICKET_INVALID', target_type: 'route' }
    ]
  },
  'log out': {
    run: ({ send, session }) => send('POST', '/auth/cookie/logout', undefined, session),
    events: [
      { event: 'session.end', actor_type: 'system', details: { sessions: 'one' } },
      { event: 'logout', ...byUser, backend: 'cookie' }
    ]
  },
  'end all sessions by code': {
    run: async ({ app, id }) => {
      await app.users.endSessions(id)
      return undefined
    },
    events: [ended]
  },
  'ask for verification': {
    run: ({ send }) => send('POST', '/auth/request-verify-token', { email: ARTHUR }),
    events: [{ event: 'email.verify_request', outcome: 'success', ...byNobody }]
  },
  'ask for verification of an unknown e-mail': {
    run: ({ send }) => send('POST', '/auth/request-verify-token', { email: LANCELOT }),
    events: [{ event: 'email.verify_request', outcome: 'failure', reason: 'UNKNOWN_USER', target_email: 'l***@camelot.bt' }]
  },
  verify: {
    async run ({ app, tokenOf, send }) {
      await app.users.requestVerify(ARTHUR)
      return await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') })
    },
    events: [
      { event: 'email.verify_request', actor_type: 'code' },
      ended,
      { event: 'email.verify', outcome: 'success', ...byUser }
    ]
  },
  'verify with a wrong token': {
    run: ({ send }) => send('POST', '/auth/verify', { token: 'wrong' }),
    events: [{ event: 'email.verify', outcome: 'failure', reason: 'VERIFY_USER_BAD_TOKEN', target_id: 'POST /auth/verify' }]
  },
  'ask for a reset': {
    run: ({ send }) => send('POST', '/auth/forgot-password', { email: ARTHUR }),
    events: [{ event: 'password.reset_request', outcome: 'success', ...byNobody }]
  },
  'ask for a reset of an unknown e-mail': {
    run: ({ send }) => send('POST', '/auth/forgot-password', { email: LANCELOT }),
    events: [{ event: 'password.reset_request', outcome: 'failure', reason: 'UNKNOWN_USER', target_id: null }]
  },
  'reset the password, and use the token again': {
    async run ({ app, tokenOf, send }) {
      await app.users.forgotPassword(ARTHUR)
      const token = await tokenOf('onAfterForgotPassword')
      await send('POST', '/auth/reset-password', { token, password: NEW_PASSWORD })
      return await send('POST', '/auth/reset-password', { token, password: NEW_PASSWORD })
    },
    events: [
      { event: 'password.reset_request', actor_type: 'code' },
      ended,
      { event: 'email.verify', ...byUser },
      { event: 'password.reset', outcome: 'success', ...byUser },
      { event: 'password.reset', outcome: 'failure', reason: 'RESET_PASSWORD_BAD_TOKEN' }
    ]
  },
  'change the password': {
    run: ({ send, own }) => send('PATCH', '/users/me', { password: NEW_PASSWORD }, own),
    events: [ended, { event: 'password.change', outcome: 'success', ...byUser }]
  },
  'change the password with a wrong current one': {
    options: { sensitiveChanges: 'confirm' },
    run: ({ send, own }) => send('PATCH', '/users/me', { password: NEW_PASSWORD, current_password: 'wrong' }, own),
    events: [{ event: 'user.update', outcome: 'failure', reason: 'UPDATE_USER_BAD_CURRENT_PASSWORD', ...byUser }]
  },
  'change the e-mail': {
    run: ({ send, own }) => send('PATCH', '/users/me', { email: 'arthur@camelot.bt' }, own),
    events: [ended, { event: 'email.change', outcome: 'success', target_email: 'a***@camelot.bt' }]
  },
  'send the same e-mail': {
    run: ({ send, own }) => send('PATCH', '/users/me', { email: ARTHUR }, own),
    events: []
  },
  'change the e-mail with a proof': {
    options: { sensitiveChanges: 'confirm' },
    async run ({ send, own, tokenOf }) {
      await send('PATCH', '/users/me', { email: 'arthur@camelot.bt', current_password: PASSWORD }, own)
      return await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') })
    },
    events: [
      { event: 'email.change_request', ...byUser },
      ended,
      { event: 'email.verify', target_email: 'a***@camelot.bt' },
      { event: 'email.change', target_email: 'a***@camelot.bt' }
    ]
  },
  'deactivate a user': {
    run: ({ send, admin, id }) => send('PATCH', `/users/${id}`, { is_active: false }, admin),
    events: [
      ended,
      { event: 'user.update', outcome: 'success', ...byAdmin, details: { fields: 'is_active', is_active: false } }
    ]
  },
  'deactivate the last superuser': {
    run: ({ send, admin, adminId }) => send('PATCH', `/users/${adminId}`, { is_active: false }, admin),
    events: [{ event: 'user.update', outcome: 'failure', reason: 'LAST_SUPERUSER', actor_type: 'user', actor_id: 'admin' }]
  },
  'delete a user': {
    run: ({ send, admin, id }) => send('DELETE', `/users/${id}`, undefined, admin),
    events: [ended, { event: 'user.delete', outcome: 'success', ...byAdmin }]
  },
  'a guarded route without a session': {
    run: ({ send }) => send('GET', '/knights/bors?secret=canary'),
    events: [
      {
        event: 'access.denied',
        outcome: 'blocked',
        reason: 'UNAUTHENTICATED',
        actor_type: 'anonymous',
        target_type: 'route',
        target_id: 'GET /knights/:name'
      }
    ]
  },
  'a guarded route without the rights': {
    run: ({ send, session }) => send('GET', '/knights/bors', undefined, session),
    events: [{ event: 'access.denied', reason: 'FORBIDDEN', actor_type: 'user', actor_id: 'id', backend: 'cookie' }]
  },
  'a guard in a handler': {
    run: ({ send }) => send('GET', '/inside'),
    events: [{ event: 'access.denied', reason: 'UNAUTHENTICATED', target_id: 'GET /inside' }]
  },
  "a guarded route of the plugin's own": {
    run: ({ send }) => send('GET', '/users/me'),
    events: [{ event: 'access.denied', reason: 'UNAUTHENTICATED', target_id: 'GET /users/me' }]
  },
  'a request of another site': {
    run: ({ send, session }) => send('POST', '/knights', {}, { ...session, ...crossSite }),
    events: [{ event: 'request.cross_site', outcome: 'blocked', reason: 'CROSS_SITE_REQUEST', actor_id: 'id' }]
  },
  'a login of another site': {
    run: ({ send }) => send('POST', '/auth/cookie/login', { username: ARTHUR, password: PASSWORD }, crossSite),
    events: [{ event: 'request.cross_site', outcome: 'blocked', actor_type: 'anonymous', target_id: 'POST /auth/cookie/login' }]
  },
  'a login over a limit': {
    run: login,
    options: {
      hooks: {
        onBeforeLogin: (_, { request }) => {
          if (request?.headers['user-agent'] === AGENT) throw refuse(429, 'SLOWER', 'Try again later')
        }
      }
    },
    events: [
      { event: 'login', outcome: 'blocked', reason: 'REFUSED' },
      { event: 'limit.hit', outcome: 'blocked', reason: 'SLOWER', target_id: 'id', details: { operation: 'login' } }
    ]
  },
  'a login while the store is down': {
    async run (built) {
      built.store.watch(() => {
        throw FST_USERS_STORE_UNAVAILABLE()
      })
      return await login(built)
    },
    events: [
      { event: 'dependency.failure', outcome: 'failure', reason: 'STORE_UNAVAILABLE', details: { operation: 'login' } }
    ]
  },
  'a guarded route while the store is down': {
    async run (built) {
      built.store.watch(() => {
        throw FST_USERS_STORE_UNAVAILABLE()
      })
      return await built.send('GET', '/knights/bors', undefined, built.session)
    },
    events: [{ event: 'dependency.failure', reason: 'STORE_UNAVAILABLE', target_id: 'GET /knights/:name' }]
  }
}

t.test('AUD-01: each security event is published once, and matches the schema', async (t) => {
  for (const [name, { run, events: expected, options = {} }] of Object.entries(cases)) {
    await t.test(name, async (t) => {
      const built = await start(t, options)
      await built.app.users.settled()
      const events = collectAuditEvents(t)
      const reply = await run(built)
      await built.app.users.settled()
      checkAuditEvents(t, events)
      const ids: Record<string, string> = { id: built.id, admin: built.adminId }
      const known = (id: string | null | undefined): string | null | undefined => (id == null ? id : (ids[id] ?? id))
      const wanted = expected.map((event) => ({
        ...event,
        ...('actor_id' in event ? { actor_id: known(event.actor_id) } : {}),
        ...('target_id' in event ? { target_id: known(event.target_id) } : {})
      }))
      t.same(events.map(({ event }) => event), wanted.map(({ event }) => event))
      t.match(events, wanted)
      for (const event of events) {
        t.equal(event.tenant, 'users')
        if (event.ip !== null) t.match(event, { ip: '127.0.0.1', user_agent: AGENT, request_id: /^req-/ })
      }
      if (reply !== undefined) t.ok(events.length === 0 || events.some(({ ip, actor_type: by }) => ip !== null || by === 'system'))
    })
  }
})
