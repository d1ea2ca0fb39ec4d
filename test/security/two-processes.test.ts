import { randomBytes } from 'node:crypto'
import pg from 'pg'
import t, { type Test } from 'tap'
import { postgres } from '../../lib/entries/postgres.js'
import type { SessionPage } from '../../lib/features/sessions/index.js'
import { ARTHUR, buildApp, PASSWORD, SECRET } from '../helpers/build-app.js'
import { configOf, makePool, needsPostgres } from '../helpers/postgres.js'
import { startProcess, tally, type ServerProcess } from '../helpers/server-process.js'
import { connectRedis } from '../helpers/redis.js'

const service = await needsPostgres()
const { redis: raw, skip: noRedis } = await connectRedis()

const MERLIN = 'merlin@camelot.bt'
const NEW_PASSWORD = 'excalibur-2'
const BACKENDS = ['jwt', 'cookie', 'redis']
const N = 200

interface Answer {
  statusCode: number
  body: string
}
type Headers = Record<string, string>

async function answer (reply: Promise<Response>): Promise<Answer> {
  const { status, ...rest } = await reply.then(async (got) => ({ status: got.status, body: await got.text() }))
  return { statusCode: status, ...rest }
}

/** Starts two server processes at the same time on an empty schema. */
async function startTwo (t: Test): Promise<{ servers: [ServerProcess, ServerProcess]; pool: pg.Pool; schema: string }> {
  const { pool, schema } = await makePool(t)
  const prefix = `test-${randomBytes(6).toString('hex')}:`
  t.teardown(async () => {
    for await (const keys of raw.scanStream({ match: `${prefix}*`, count: 1000 })) {
      for (const key of keys as string[]) await raw.del(key)
    }
  })
  const [one, two] = await Promise.all([startProcess(t, schema, prefix), startProcess(t, schema, prefix)])
  return { servers: [one, two], pool, schema }
}

async function sessionOf (
  server: ServerProcess,
  backend: string,
  username: string,
  password = PASSWORD
): Promise<Headers> {
  const reply = await server.post(`/auth/${backend}/login`, { username, password })
  if (backend === 'cookie') return { cookie: String(reply.headers.get('set-cookie')).split(';')[0] ?? '' }
  const { access_token: token } = (await reply.json()) as { access_token: string }
  return { authorization: `Bearer ${token}` }
}

t.test(
  'two processes on one PostgreSQL and Redis',
  { skip: service.skip === false ? noRedis : service.skip },
  async (t) => {
    const { servers, pool, schema } = await startTwo(t)
    const [one, two] = servers
    const at = (n: number): ServerProcess => (n % 2 === 0 ? one : two)

    await t.test(
      'REG-05, RACE-02: exactly one of 200 parallel registrations of one e-mail at both processes succeeds, in any letter case, without a 500',
      async (t) => {
        const replies = await Promise.all(
          Array.from({ length: N }, (_, n) =>
            answer(
              at(n).post('/auth/register', {
                email: n % 3 === 0 ? ARTHUR.toUpperCase() : ARTHUR,
                password: `${PASSWORD}-${n}`
              })
            )
          )
        )
        t.same(tally(replies), { 201: 1, '400 REGISTER_USER_ALREADY_EXISTS': N - 1 })
        t.same((await pool.query('SELECT count(*)::int FROM "user"')).rows, [{ count: 1 }])
        const winner = replies.findIndex(({ statusCode }) => statusCode === 201)
        for (const server of servers) {
          t.equal(
            (await server.post('/auth/jwt/login', { username: ARTHUR, password: `${PASSWORD}-${winner}` })).status,
            200,
            'the password works in both processes'
          )
        }
        await one.post('/script', { email: ARTHUR, action: 'delete' })
      }
    )

    await t.test('RST-04, RACE-01: exactly one of 40 parallel uses of a reset token at both processes succeeds', async (t) => {
      const own = new pg.Pool(configOf(schema))
      t.teardown(() => own.end())
      const { app, create, tokenOf } = await buildApp(t, { adapter: postgres(own), secret: SECRET })
      await create()
      await app.users.forgotPassword(ARTHUR)
      const token = await tokenOf('onAfterForgotPassword')
      const replies = await Promise.all(
        Array.from({ length: 40 }, (_, n) =>
          answer(at(n).post('/auth/reset-password', { token, password: `${NEW_PASSWORD}-${n}` }))
        )
      )
      t.same(tally(replies), { 200: 1, '400 RESET_PASSWORD_BAD_TOKEN': 39 })
      const logins = await Promise.all(
        replies.map((_, n) => at(n + 1).post('/auth/jwt/login', { username: ARTHUR, password: `${NEW_PASSWORD}-${n}` }))
      )
      t.same(
        logins.map(({ status }) => status === 200),
        replies.map(({ statusCode }) => statusCode === 200),
        'only the password of the successful request works'
      )
      await one.post('/script', { email: ARTHUR, action: 'delete' })
    })

    await t.test(
      'SES-08, USR-10, LOG-04, LOG-07: a session that one process revokes is refused by the other at once, with the strategies jwt, database and Redis; and one that logs out, also with a revocable JWT',
      async (t) => {
        const status = async (server: ServerProcess, headers: Headers): Promise<number> =>
          (await server.post('/guarded', undefined, headers, 'GET')).status
        const script = (action: string) => (): Promise<unknown> => one.post('/script', { email: ARTHUR, action })
        await two.post('/script', { email: MERLIN, action: 'create' })
        const acts: Record<string, (id: string, sessions: readonly Headers[]) => Promise<unknown>> = {
          'end sessions': script('end sessions'),
          deactivate: script('deactivate'),
          delete: script('delete'),
          'a change of password': (_id, sessions) =>
            one.post('/users/me', { password: NEW_PASSWORD }, sessions[0], 'PATCH'),
          'a change of password by a superuser': async (id) =>
            one.post(`/users/${id}`, { password: NEW_PASSWORD }, await sessionOf(two, 'redis', MERLIN), 'PATCH'),
          'a deletion by a superuser': async (id) =>
            one.post(`/users/${id}`, undefined, await sessionOf(two, 'cookie', MERLIN), 'DELETE')
        }
        for (const [name, act] of Object.entries(acts)) {
          const { id } = (await (await two.post('/script', { email: ARTHUR, action: 'create' })).json()) as {
            id: string
          }
          const sessions = await Promise.all(
            [...BACKENDS, ...BACKENDS].map((backend, n) => sessionOf(at(Math.floor(n / 3)), backend, ARTHUR))
          )
          for (const server of servers) {
            t.same(
              await Promise.all(sessions.map((headers) => status(server, headers))),
              sessions.map(() => 200),
              `${name}: all sessions are valid in both processes`
            )
          }
          await act(id, sessions)
          for (const server of [two, one]) {
            t.same(
              await Promise.all(sessions.map((headers) => status(server, headers))),
              sessions.map(() => 401),
              `${name}: all sessions have ended in both processes`
            )
          }
          await one.post('/script', { email: ARTHUR, action: 'delete' })
        }

        await two.post('/script', { email: ARTHUR, action: 'create' })
        for (const backend of ['cookie', 'redis', 'revocable', 'revocable-redis']) {
          const [ended, kept] = [await sessionOf(one, backend, ARTHUR), await sessionOf(one, backend, ARTHUR)]
          t.equal((await two.post(`/auth/${backend}/logout`, undefined, ended)).status, 204)
          t.same(
            [await status(one, ended), await status(one, kept), await status(two, kept)],
            [401, 200, 200],
            `${backend}: a logout in one process ends its own session in the other, and no other session`
          )
        }
        for (const backend of ['cookie', 'redis', 'revocable', 'revocable-redis']) {
          const [ended, kept] = [await sessionOf(one, backend, ARTHUR), await sessionOf(two, backend, ARTHUR)]
          const { sessions } = (await (await two.post('/users/me/sessions', undefined, ended, 'GET')).json()) as SessionPage
          const session = sessions.find((one) => one.is_current)
          t.match(session, { backend, can_end: true })
          t.equal((await two.post(`/users/me/sessions/${session?.id ?? ''}`, undefined, kept, 'DELETE')).status, 204)
          t.same(
            [await status(one, ended), await status(two, ended), await status(one, kept), await status(two, kept)],
            [401, 401, 200, 200],
            `${backend}: a session that its user ends in one process has ended in the other`
          )
          t.equal((await one.post(`/users/me/sessions/${session?.id ?? ''}`, undefined, kept, 'DELETE')).status, 404)
        }
        const acting = await sessionOf(one, 'jwt', ARTHUR)
        const withKey = async (server: ServerProcess, key: string): Promise<number> =>
          (await server.post('/scoped', undefined, { 'x-api-key': key }, 'GET')).status
        const made = await one.post('/users/me/api-keys', { name: 'job', scopes: ['read'] }, acting)
        const { id: keyId, key } = (await made.json()) as { id: string; key: string }
        t.same([await withKey(one, key), await withKey(two, key)], [200, 200], 'an API key works in both processes')
        t.equal((await two.post(`/users/me/api-keys/${keyId}`, undefined, acting, 'DELETE')).status, 204)
        t.same([await withKey(one, key), await withKey(two, key)], [401, 401], 'and in none after its revocation')

        const admin = await sessionOf(one, 'jwt', ARTHUR)
        const { id } = (await (await one.post('/users/me', undefined, admin, 'GET')).json()) as { id: string }
        t.equal(
          (await two.post(`/users/${id}`, undefined, admin, 'GET')).status,
          200,
          'before the demotion the user is a superuser'
        )
        await one.post('/script', { email: ARTHUR, action: 'demote' })
        t.equal((await two.post(`/users/${id}`, undefined, admin, 'GET')).status, 403, 'the demotion applies at once')
      }
    )

    await t.test(
      'RACE-04: logins in one process during password changes in the other leave no session of the old password',
      async (t) => {
        await one.post('/script', { email: ARTHUR, action: 'delete' })
        await one.post('/script', { email: ARTHUR, action: 'create' })
        let password = PASSWORD
        for (let round = 0; round < 5; round++) {
          const next = `${NEW_PASSWORD}-${round}`
          const own = await sessionOf(two, 'jwt', ARTHUR, password)
          const [change, ...logins] = await Promise.all([
            one.post('/users/me', { password: next }, own, 'PATCH'),
            ...Array.from({ length: 12 }, (_, n) =>
              two.post(`/auth/${BACKENDS[n % 3]}/login`, { username: ARTHUR, password })
            )
          ])
          t.equal(change.status, 200)
          for (const reply of logins) {
            t.ok([200, 204, 400].includes(reply.status), String(reply.status))
            if (reply.status === 400) continue
            const headers: Headers =
              reply.status === 204
                ? { cookie: String(reply.headers.get('set-cookie')).split(';')[0] ?? '' }
                : { authorization: `Bearer ${((await reply.json()) as { access_token: string }).access_token}` }
            for (const server of servers) {
              t.equal(
                (await server.post('/guarded', undefined, headers, 'GET')).status,
                401,
                'a session of the old password'
              )
            }
          }
          password = next
        }
      }
    )
  }
)
