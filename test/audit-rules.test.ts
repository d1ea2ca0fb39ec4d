import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AUDIT_EVENTS, AuditEvent, authenticate, type UsersOptions } from '../lib/index.js'
import { audit } from '../lib/features/audit/index.js'
import { oauth, openidConnect } from '../lib/features/oauth/index.js'
import { checkAuditEvents, collectAuditEvents } from './helpers/audited-events.js'
import { openBrowser, ORIGIN } from './helpers/browser.js'
import { ARTHUR, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { flows, NEW_PASSWORD, start } from './helpers/flows.js'
import { startOidcProvider } from './helpers/oidc-provider.js'
import { root } from './helpers/root.js'

const failedLogin = (built: TestApp, username: string, agent = 'Camelot/1.0'): Promise<unknown> =>
  built.send('POST', '/auth/jwt/login', { username, password: 'wrong' }, { 'user-agent': agent })

async function settledEvents (t: Test, built: TestApp, run: () => Promise<unknown>): Promise<AuditEvent[]> {
  await built.app.users.settled()
  const events = collectAuditEvents(t)
  await run()
  await built.app.users.settled()
  checkAuditEvents(t, events)
  return events
}

t.test('the documentation lists every event and every field', async (t) => {
  const page = readFileSync(join(root, 'docs/audit.md'), 'utf8')
  const rowsOf = (heading: string): string[] =>
    (page.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? '').split('\n').flatMap((line) => /^\| `([a-z_.]+)`/.exec(line)?.[1] ?? [])
  t.same(rowsOf('Events').sort(), [...AUDIT_EVENTS].sort())
  t.same(rowsOf('Fields'), Object.keys(AuditEvent.properties))
})

t.test('AUD-02: a hook that throws, rejects or never ends changes no reply, and errors are logged', async (t) => {
  const lines: string[] = []
  const logger = { level: 'error', stream: { write: (line: string) => lines.push(line) } }
  const seen: string[] = []
  let release = (): void => {}
  const blocked = new Promise<void>((resolve) => {
    release = resolve
  })
  const built = await buildApp(t, {}, (app) => {
    app.users.addHook('onAudit', () => {
      throw new Error('canary of a listener')
    })
    app.users.addHook('onAudit', () => Promise.reject(new Error('canary of a promise')))
    app.users.addHook('onAudit', ({ event }) => {
      seen.push(event)
    })
    app.users.addHook('onAudit', () => blocked)
  }, { logger })
  await built.create()
  const reply = await built.login('jwt', ARTHUR)
  t.equal(reply.statusCode, 200)
  release()
  await built.app.users.settled()
  t.same(seen, ['user.register', 'login'])
  t.equal(lines.filter((line) => line.includes('canary of a listener')).length, 2)
  t.equal(lines.filter((line) => line.includes('canary of a promise')).length, 2)
})

t.test('without a receiver, a refused request creates no event', async (t) => {
  let reads = 0
  const built = await buildApp(t, {}, (app) => {
    app.addHook('onRequest', async (request) => {
      const ip = (): string => {
        reads++
        return '127.0.0.1'
      }
      Object.defineProperty(request, 'ip', { get: ip })
    })
    app.get('/guarded', { preHandler: authenticate }, async () => 'in')
  })
  t.equal((await built.send('GET', '/guarded')).statusCode, 401)
  t.equal(reads, 0)
  const events = await settledEvents(t, built, () => built.send('GET', '/guarded'))
  t.equal(events.length, 1)
  t.equal(reads, 1)
  t.notOk(built.app.users.eventNames.includes('onAudit' as never))
})

t.test('AUD-01: a reauthentication without a password does not count as a wrong password', async (t) => {
  const built = await buildApp(t)
  await built.create()
  const session = await built.bearer(ARTHUR)
  const events = await settledEvents(t, built, async () => {
    for (const payload of [{}, { password: 'wrong' }]) await built.send('POST', '/auth/jwt/reauthenticate', payload, session)
  })
  const refused = { event: 'login.reauthenticate', outcome: 'failure', reason: 'REAUTHENTICATE_BAD_PASSWORD' }
  t.match(events, [{ ...refused, method: null }, { ...refused, method: 'password' }])
})

t.test('AUD-03, EML-07: e-mails are masked, their domain is in ASCII, and other text is left out', async (t) => {
  const cases: [given: string, masked: string | null][] = [
    [ARTHUR, 'k***@camelot.bt'],
    ['a@camelot.bt', 'a***@camelot.bt'],
    ['x@pаypal.com', 'x***@xn--pypal-4ve.com'], // a Cyrillic letter
    ['x@bücher.example', 'x***@xn--bcher-kva.example'],
    ['😀@camelot.bt', '😀***@camelot.bt'],
    [PASSWORD, null],
    ['p@ssword', null],
    ['correct horse battery staple', null],
    ['@camelot.bt', null],
    ['a@b@camelot.bt', null],
    ['a@127.0.0.1', null]
  ]
  const built = await buildApp(t)
  for (const [given, masked] of cases) {
    const [event] = await settledEvents(t, built, () => failedLogin(built, given))
    t.match(event, { event: 'login', target_email: masked }, given)
  }
})

t.test('AUD-03: hashed e-mails are equal for all spellings, and depend on the secret', async (t) => {
  const emailOf = async (options: Partial<UsersOptions>, username: string): Promise<unknown> => {
    const built = await buildApp(t, options)
    const [event] = await settledEvents(t, built, () => failedLogin(built, username))
    return event?.target_email
  }
  const hashed = { audit: { emails: 'hashed' } } as const
  const digest = await emailOf(hashed, ARTHUR)
  t.match(digest, /^[\w-]{22}$/)
  t.equal(await emailOf(hashed, ' King.Arthur@CAMELOT.bt'), digest)
  t.not(await emailOf({ ...hashed, secret: randomBytes(32).toString('base64url') }, ARTHUR), digest)
  t.not(await emailOf(hashed, 'other@camelot.bt'), digest)
  t.equal(await emailOf({ audit: { emails: 'plain' } }, ARTHUR), ARTHUR)
})

t.test('LOGG-03: values of the client are escaped and cut', async (t) => {
  const built = await buildApp(t, {}, undefined, { requestIdHeader: 'x-request-id' })
  const hostile: [given: string, shown: string][] = [
    ['a\t{"level":30}', 'a\\u{9}{"level":30}'],
    ['a\\u{9}', 'a\\u{5c}u{9}'],
    ['\x7f\x1b[31m'.replaceAll('\x1b', ''), '\\u{7f}[31m'],
    ['x'.repeat(4000), 'x'.repeat(256)]
  ]
  for (const [given, shown] of hostile) {
    const [event] = await settledEvents(t, built, () => failedLogin(built, ARTHUR, given))
    t.equal(event?.user_agent, shown)
    t.equal(JSON.stringify(event).split('\n').length, 1)
  }
  for (const name of ['a\n{"level":30}@camelot.bt', 'a\u202e@camelot.bt', 'a\u2028b@camelot.bt', '\n'.repeat(300)]) {
    const [event] = await settledEvents(t, built, () => failedLogin(built, name))
    t.notMatch(String(event?.target_email), /[\p{C}\u2028]/u)
  }
  const [event] = await settledEvents(t, built, () =>
    built.send('GET', '/users/me', undefined, { 'x-request-id': 'id-'.padEnd(500, 'x') })
  )
  t.equal(event?.request_id?.length, 128)
})

/** Texts of at least this length are checked. Shorter ones appear by chance. */
const SECRET_LENGTH = 8

t.test('LOGG-01, AUD-01: no event of any flow contains a password, a token, a cookie or a hash', async (t) => {
  for (const [name, { prepare, success, options }] of Object.entries(flows)) {
    await t.test(name, async (t) => {
      const events = collectAuditEvents(t)
      const round = await start(t, { ...options, features: [...(options?.features ?? []), audit()] })
      const send = await prepare(round)
      const reply = await send()
      t.equal(reply.statusCode, success)
      await round.app.users.settled()
      checkAuditEvents(t, events)
      const rows = await round.store.rows('user')
      const secrets = [
        PASSWORD,
        NEW_PASSWORD,
        ...[round.own, round.admin].map(({ authorization }) => authorization.replace('Bearer ', '')),
        ...[round.session.cookie, String(reply.headers['set-cookie'] ?? '')].map((cookie) => cookie.split(';')[0]?.split('=')[1]),
        ...(reply.body.startsWith('{') ? [reply.json<{ access_token?: string }>().access_token] : []),
        ...round.events.map((event) => ('token' in event ? event.token : null)),
        ...rows.flatMap((row) => [row['hashed_password'], row['session_stamp']])
      ].filter((secret): secret is string => typeof secret === 'string' && secret.length >= SECRET_LENGTH)
      t.ok(secrets.length > 6)
      const text = JSON.stringify([events, await round.app.users.feature('audit').list()])
      for (const secret of secrets) {
        t.notOk(text.includes(secret), 'no secret in an event')
        for (const part of secret.split('.').filter(({ length }) => length >= 20)) t.notOk(text.includes(part))
      }
    })
  }
})

t.test('AUD-01: logins with a provider, linking and unlinking are reported, without codes and tokens', async (t) => {
  const callbacks = ['/auth/openid/callback', '/auth/associate/openid/callback']
  const idp = await startOidcProvider(t, callbacks.map((path) => ORIGIN + path))
  const { issuer, clientId, clientSecret } = idp
  const built = await buildApp(t, {
    publicUrl: ORIGIN,
    features: [oauth({
      providers: [openidConnect({ issuer, clientId, clientSecret, trustEmail: true })],
      insecureOrigins: [issuer]
    })]
  })
  const browser = openBrowser(built.app)
  const seen: string[] = []
  const startAt = async (path: string, headers: Record<string, string> = {}): Promise<string> => {
    const page = await browser.ask(path, { headers })
    return page.json<{ authorization_url: string }>().authorization_url
  }

  const login = await settledEvents(t, built, async () => {
    const page = await browser.go(await startAt('/auth/openid/authorize'))
    seen.push(page.json<{ access_token: string }>().access_token, ...page.url.searchParams.values())
  })
  t.match(login, [
    { event: 'user.register', outcome: 'success' },
    { event: 'login', outcome: 'success', method: 'oauth:openid', backend: 'jwt', target_email: 'k***@camelot.bt' }
  ])

  const failed = await settledEvents(t, built, () => browser.ask('/auth/openid/callback?code=canary-code&state=canary-state'))
  t.match(failed, [{ event: 'login', outcome: 'failure', reason: 'ACCESS_TOKEN_DECODE_ERROR', method: 'oauth:openid' }])
  t.notMatch(JSON.stringify(failed), 'canary')

  const user = await built.app.users.getByEmail(ARTHUR)
  if (user === null) throw new Error('the login created no user')
  const [account] = await built.app.users.feature('oauth').list(user.id as never)
  const refused = await settledEvents(t, built, () =>
    built.app.users.feature('oauth').unlink(user.id as never, account?.id as never, {}).catch(() => {})
  )
  t.match(refused, [{ event: 'provider.unlink', outcome: 'failure', reason: 'OAUTH_LAST_LOGIN_METHOD', target_id: String(user.id) }])

  await built.app.users.update(user, { password: PASSWORD })
  const unlinked = await settledEvents(t, built, () =>
    built.app.users.feature('oauth').unlink(user.id as never, account?.id as never, {})
  )
  t.match(unlinked, [{ event: 'provider.unlink', outcome: 'success', method: 'oauth:openid', actor_type: 'code' }])

  const own = await built.bearer(ARTHUR)
  const linked = await settledEvents(t, built, async () => {
    const url = await startAt('/auth/associate/openid/authorize', own)
    const back = await browser.go(url, ({ pathname }: URL) => pathname === callbacks[1])
    t.equal((await browser.ask(back.url.href, { headers: own })).status, 200)
    seen.push(...back.url.searchParams.values())
  })
  t.match(linked, [{ event: 'provider.link', outcome: 'success', method: 'oauth:openid', actor_id: String(user.id) }])

  const text = JSON.stringify([login, failed, refused, unlinked, linked])
  for (const secret of seen.filter(({ length }) => length > 20)) t.notOk(text.includes(secret))
})
