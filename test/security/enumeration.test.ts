import t, { type Test } from 'tap'
import { oauth, openidConnect } from '../../lib/features/oauth/index.js'
import type { UsersOptions } from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { openBrowser, ORIGIN, type Page } from '../helpers/browser.js'
import {
  ARTHUR,
  buildApp,
  countedPasswords,
  PASSWORD,
  assertErrorReply,
  storedRows,
  comparableReply,
  type TestApp
} from '../helpers/build-app.js'
import { startOidcProvider } from '../helpers/oidc-provider.js'

const NEW = 'lancelot@camelot.bt'
const MALLORY = 'mordred@camelot.bt'
const OTHER = 'another-pass-1'

async function quiet (
  t: Test,
  options: Partial<UsersOptions> = {}
): Promise<TestApp & { adapter: ReturnType<typeof memory> }> {
  const adapter = memory()
  const built = await buildApp(t, { adapter, revealExistingAccounts: false, ...options })
  await built.create({ is_verified: true })
  await built.create({ email: MALLORY, is_verified: true })
  built.events.length = 0
  return { ...built, adapter }
}

/** Returns the e-mail and attempt of each `onRegisterExisting` event. */
const noticesOf = ({ events }: TestApp): unknown[] =>
  events.flatMap((event) => (event.name === 'onRegisterExisting' ? [[event.user.email, event.attempt]] : []))

for (const requireVerification of [false, true]) {
  t.test(
    `REG-02, LOG-01: replies to registrations and logins are the same for a new and a taken e-mail, with requireVerification ${requireVerification}`,
    async (t) => {
      const { passwords, calls } = countedPasswords()
      const built = await quiet(t, { requireVerification, passwords })
      const { send, login, events, app, tokenOf } = built
      for (const backend of ['jwt', 'cookie']) {
        const seen: object[][] = []
        for (const email of [ARTHUR, `${backend}.${NEW}`]) {
          calls.length = 0
          const replies = [
            await send('POST', '/auth/register', { email, password: OTHER }),
            await login(backend, email, OTHER),
            await login(backend, email, 'wrong-pass-1'),
            await send('POST', '/auth/register', { email, password: OTHER }),
            await login(backend, email, OTHER)
          ]
          seen.push([...replies.map(comparableReply), [...calls]])
          assertErrorReply(t, replies[1] as (typeof replies)[0], 400, 'LOGIN_BAD_CREDENTIALS')
        }
        t.same(seen[0], seen[1], `${backend}: the same replies for the same number of hashes`)
      }
      await app.users.settled()
      t.match(
        noticesOf(built).slice(0, 2),
        [
          [ARTHUR, 'register'],
          [ARTHUR, 'register']
        ],
        'the owner is notified'
      )
      t.ok(
        events.some(
          (event) =>
            event.name === 'onLoginFailed' && event.reason === 'NOT_VERIFIED' && event.user?.email === `jwt.${NEW}`
        ),
        'listeners receive the reason'
      )

      await send('POST', '/auth/request-verify-token', { email: `jwt.${NEW}` })
      t.equal((await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') })).statusCode, 200)
      t.equal(
        (await login('jwt', `jwt.${NEW}`, OTHER)).statusCode,
        200,
        'the owner of a new e-mail verifies it, then logs in'
      )
    }
  )
}

for (const sensitiveChanges of ['immediate', 'confirm'] as const) {
  t.test(
    `REG-02: the reply to a change of the own e-mail is the same for a new and a taken one, with sensitiveChanges ${sensitiveChanges}`,
    async (t) => {
      const built = await quiet(t, { sensitiveChanges })
      const { send, bearer, events, app, adapter, tokenOf, login } = built
      const headers = await bearer(MALLORY)
      const proof = sensitiveChanges === 'confirm' ? { current_password: PASSWORD } : {}
      const change = (email: string) => send('PATCH', '/users/me', { email, ...proof }, headers)
      const replies = [await change(ARTHUR), await change('KING.arthur@CAMELOT.bt'), await change(NEW)]
      for (const reply of replies) t.same(comparableReply(reply), comparableReply(replies[0] as typeof reply))
      t.match(
        replies[0]?.json(),
        { email: MALLORY, is_verified: true },
        'the e-mail is unchanged until the new one is verified'
      )
      await app.users.settled()
      t.same(noticesOf(built), [
        [ARTHUR, 'email-change'],
        [ARTHUR, 'email-change']
      ])
      t.same(
        events.flatMap((event) => (event.name === 'onAfterRequestVerify' ? [event.email] : [])),
        [NEW],
        'the token is sent only to the new e-mail'
      )
      t.same((await storedRows(adapter, 'user')).map(({ email }) => email).sort(), [ARTHUR, MALLORY])

      t.equal((await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') })).statusCode, 200)
      t.equal((await login('jwt', NEW)).statusCode, 200, 'the verification changes the e-mail')
      t.equal(
        (await send('PATCH', '/users/me', { email: NEW.toUpperCase(), ...proof }, await bearer(NEW))).json<{
          email: string
        }>().email,
        NEW.toUpperCase().replace('CAMELOT.BT', 'camelot.bt'),
        'another spelling needs no verification'
      )
    }
  )
}

t.test('REG-02: superusers and calls of `app.users` get the error for a taken e-mail', async (t) => {
  const { send, bearer, create, app } = await quiet(t)
  const { id } = await create({ email: NEW })
  await create({ email: 'merlin@camelot.bt', is_superuser: true, is_verified: true })
  assertErrorReply(
    t,
    await send('PATCH', `/users/${id}`, { email: ARTHUR }, await bearer('merlin@camelot.bt')),
    400,
    'UPDATE_USER_EMAIL_ALREADY_EXISTS'
  )
  await t.rejects(app.users.update(id, { email: ARTHUR }), { code: 'FST_USERS_UPDATE_USER_EMAIL_ALREADY_EXISTS' })
})

for (const isVerifiedByDefault of [false, true]) {
  t.test(
    `REG-02: the reply to a first provider login with an unverified e-mail is the same for a new and a taken one, with isVerifiedByDefault ${isVerifiedByDefault}`,
    async (t) => {
      async function enter (taken: boolean): Promise<{ built: TestApp; pages: Page[]; rows: number }> {
        const idp = await startOidcProvider(t, [`${ORIGIN}/auth/openid/callback`])
        const adapter = memory()
        const built = await buildApp(t, {
          adapter,
          publicUrl: ORIGIN,
          revealExistingAccounts: false,
          features: [oauth({
            providers: [
              openidConnect({
                issuer: idp.issuer,
                clientId: idp.clientId,
                clientSecret: idp.clientSecret,
                trustEmail: false
              })
            ],
            insecureOrigins: [idp.issuer],
            isVerifiedByDefault,
            associateByEmail: true
          })]
        }, () => {})
        if (taken) await built.create({ is_verified: true })
        const browser = openBrowser(built.app)
        const start = await browser.ask('/auth/openid/authorize')
        const pages = [await browser.go(start.json<{ authorization_url: string }>().authorization_url)]
        await built.app.users.settled()
        return { built, pages, rows: (await storedRows(adapter, 'user')).length }
      }
      const [free, taken] = [await enter(false), await enter(true)]
      const seen = ({ pages }: typeof free): object[] =>
        pages.map(({ status, body }) => ({ status, body: body.replaceAll(/req-\w+/g, '') }))
      t.same(seen(taken), seen(free))
      t.match(seen(free), [{ status: 400, body: /LOGIN_USER_NOT_VERIFIED/ }])
      t.same([free.rows, taken.rows], [0, 1], 'nothing is stored')
      t.same([noticesOf(free.built), noticesOf(taken.built)], [[], [[ARTHUR, 'provider-login']]])
    }
  )
}
