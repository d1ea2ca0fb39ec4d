import t, { type Test } from 'tap'
import { ARTHUR, PASSWORD } from '../helpers/build-app.js'
import { makePool, needsPostgres } from '../helpers/postgres.js'
import { connectRedis } from '../helpers/redis.js'
import type { SessionPage } from '../../lib/features/sessions/index.js'
import { startCachedProcess, type ServerProcess } from '../helpers/server-process.js'

const service = await needsPostgres()
const { redis, skip: noRedis } = await connectRedis()

const NEW_PASSWORD = 'excalibur-2'

type Headers = Record<string, string>
type Backend = 'jwt' | 'revocable' | 'cookie'
interface ChannelState {
  name: string
  losses: number
  changes: number
}

const read = async (server: ServerProcess, path: string, headers: Headers = {}): Promise<Response> =>
  await server.post(path, undefined, headers, 'GET')
const statusOf = async (server: ServerProcess, headers: Headers, path = '/guarded'): Promise<number> =>
  (await read(server, path, headers)).status
const stateOf = async (server: ServerProcess): Promise<ChannelState> =>
  (await (await read(server, '/channel')).json()) as ChannelState

async function logIn (server: ServerProcess, backend: Backend): Promise<Headers> {
  const reply = await server.post(`/auth/${backend}/login`, { username: ARTHUR, password: PASSWORD })
  if (backend === 'cookie') return { cookie: String(reply.headers.get('set-cookie')).split(';')[0] ?? '' }
  return { authorization: `Bearer ${((await reply.json()) as { access_token: string }).access_token}` }
}

/** Ends the connection with which a process is subscribed. */
const disconnect = {
  async postgres (t: Test, name: string, schema: string) {
    const { pool } = await makePool(t)
    const { rowCount } = await pool.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND query = $2',
      [name, `LISTEN "${schema}"`]
    )
    t.equal(rowCount, 1)
  },
  async redis (t: Test, name: string) {
    const clients = String(await redis.client('LIST', 'TYPE', 'PUBSUB')).split('\n')
    const own = clients.filter((line) => line.includes(`name=${name} `))
    t.equal(own.length, 1)
    await redis.client('KILL', 'ID', Number(/^id=(\d+)/.exec(own[0] ?? '')?.[1]))
  }
}

for (const channel of ['redis', 'postgres'] as const) {
  const skip = service.skip === false && channel === 'redis' ? noRedis : service.skip
  t.test(`two processes with user caches and the channel of ${channel}`, { skip }, async (t) => {
    const { pool, schema } = await makePool(t)
    const one = await startCachedProcess(t, schema, channel)
    const two = await startCachedProcess(t, schema, channel)
    const script = async (action: string, email = ARTHUR): Promise<void> => {
      t.equal((await one.post('/script', { email, action })).status, 200, action)
    }
    for (const server of [one, two]) await read(server, '/channel/on')
    await script('create', 'merlin@camelot.bt') // the last superuser cannot be demoted

    /** Waits until the second process has received every change of both. */
    const delivered = async (): Promise<void> => {
      const { changes } = await stateOf(one)
      await read(two, `/channel/changes/${changes + (await stateOf(two)).changes}`)
    }

    await t.test('SES-08, SES-09: a change in one process holds on the next request of the other', async (t) => {
      const acts: Record<string, (sessions: Record<Backend, Headers>) => Promise<unknown>> = {
        'end sessions': () => script('end sessions'),
        deactivate: () => script('deactivate'),
        delete: () => script('delete'),
        'a change of password': ({ jwt }) => one.post('/users/me', { password: NEW_PASSWORD }, jwt, 'PATCH'),
        async logout ({ cookie, revocable }) {
          await one.post('/auth/cookie/logout', undefined, cookie)
          await one.post('/auth/revocable/logout', undefined, revocable)
        },
        async 'the end of single sessions' ({ jwt, cookie, revocable }) {
          for (const headers of [cookie, revocable]) {
            const page = (await (await one.post('/users/me/sessions', undefined, headers, 'GET')).json()) as SessionPage
            const { id = '' } = page.sessions.find((session) => session.is_current) ?? {}
            t.equal((await one.post(`/users/me/sessions/${id}`, undefined, jwt, 'DELETE')).status, 204)
          }
        }
      }
      for (const [name, act] of Object.entries(acts)) {
        await script('create')
        const sessions = {
          jwt: await logIn(two, 'jwt'),
          revocable: await logIn(two, 'revocable'),
          cookie: await logIn(two, 'cookie')
        }
        const all = Object.values(sessions)
        for (const headers of all) for (let i = 0; i < 3; i++) t.equal(await statusOf(two, headers), 200, `${name}: valid`)
        await pool.query(`UPDATE "user" SET is_active = false WHERE email = '${ARTHUR}'`)
        for (const headers of all) t.equal(await statusOf(two, headers), 200, `${name}: the second process has cached the row`)
        await pool.query(`UPDATE "user" SET is_active = true WHERE email = '${ARTHUR}'`)

        await act(sessions)
        await delivered()
        t.equal(await statusOf(two, sessions.cookie), 401, `${name}: cookie`)
        t.equal(await statusOf(two, sessions.revocable), 401, `${name}: revocable jwt`)
        const endsAll = !['logout', 'the end of single sessions'].includes(name)
        t.equal(await statusOf(two, sessions.jwt), endsAll ? 401 : 200, `${name}: jwt`)
        await script('delete')
      }
    })

    await t.test('SES-09: the end of the superuser flag in one process holds on the next request of the other', async (t) => {
      await script('create')
      const headers = await logIn(two, 'jwt')
      for (let i = 0; i < 3; i++) t.equal(await statusOf(two, headers, '/superuser'), 200)
      await script('demote')
      await delivered()
      t.equal(await statusOf(two, headers, '/superuser'), 403)
      await script('delete')
    })

    await t.test('SES-09: a process whose subscription is lost forgets all rows, and uses the cache again later', async (t) => {
      await script('create')
      const headers = await logIn(two, 'jwt')
      for (let i = 0; i < 3; i++) t.equal(await statusOf(two, headers), 200)
      await pool.query(`UPDATE "user" SET is_active = false WHERE email = '${ARTHUR}'`)
      t.equal(await statusOf(two, headers), 200, 'the row is cached')
      const { name, losses } = await stateOf(two)
      await disconnect[channel](t, name, schema)
      await read(two, `/channel/losses/${losses + 1}`)
      t.equal(await statusOf(two, headers), 401, 'the row is read')
      await pool.query(`UPDATE "user" SET is_active = true WHERE email = '${ARTHUR}'`)
      await read(two, '/channel/on')
      for (let i = 0; i < 3; i++) t.equal(await statusOf(two, headers), 200)
      await pool.query(`UPDATE "user" SET is_active = false WHERE email = '${ARTHUR}'`)
      t.equal(await statusOf(two, headers), 200, 'the row is cached again')
      await pool.query(`UPDATE "user" SET is_active = true WHERE email = '${ARTHUR}'`)
      await script('end sessions')
      await delivered()
      t.equal(await statusOf(two, headers), 401, 'changes arrive again')
    })
  })
}
