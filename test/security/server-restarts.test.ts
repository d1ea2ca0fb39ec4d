import { setTimeout as sleep } from 'node:timers/promises'
import type { LightMyRequestResponse } from 'fastify'
import { Redis } from 'ioredis'
import pg from 'pg'
import t from 'tap'
import { bearerTransport } from '../../lib/index.js'
import { postgres } from '../../lib/entries/postgres.js'
import { redisStrategy } from '../../lib/entries/redis.js'
import { noOwnServers, ownPostgres, ownRedis } from '../fixtures/own-server.js'
import { ARTHUR, backends, buildApp, PASSWORD } from '../helpers/build-app.js'
import { addGuarded, checkUnavailable } from '../helpers/flows.js'

const skip = noOwnServers()
if (skip !== false && process.env['REQUIRE_SERVICES'] === '1') throw new Error(skip)

const ROUNDS = 3
const BACKENDS = ['jwt', 'cookie', 'redis']

t.test(
  'DEP-01, DEP-02, DEP-03, REG-05: servers that start late or are killed cause 503, no lost session or event',
  { skip },
  async (t) => {
    const [database, redis] = await Promise.all([ownPostgres(t), ownRedis(t)])
    const pool = new pg.Pool({ connectionString: database.url, max: 5 }).on('error', () => {})
    const client = new Redis(redis.url, { retryStrategy: () => 20, maxRetriesPerRequest: null }).on('error', () => {})
    t.teardown(async () => {
      client.disconnect()
      await pool.end()
    })
    const { app, events, create, login, send, bearer, cookie } = await buildApp(
      t,
      {
        adapter: postgres(pool, { createTables: true }),
        backends: [
          ...backends(),
          { name: 'redis', transport: bearerTransport(), strategy: redisStrategy({ client, lifetimeSeconds: 3600 }) }
        ]
      },
      addGuarded
    )
    checkUnavailable(t, await login('jwt', ARTHUR), 'before the servers are there')
    await Promise.all([database.start(), redis.start()])
    await until(async () => (await login('redis', ARTHUR)).statusCode === 400)
    await create()
    await until(async () => (await login('redis', ARTHUR)).statusCode === 200)
    const { access_token: token } = (await login('redis', ARTHUR)).json<{ access_token: string }>()
    const sessions = [await bearer(ARTHUR), await cookie(ARTHUR), { authorization: `Bearer ${token}` }]

    events.length = 0

    let number = 0
    const created: string[] = []
    const unsure: string[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const traffic = { goesOn: true }
      const statuses = new Map<string, number>()
      const count = (
        what: string,
        { statusCode, headers, body }: LightMyRequestResponse,
        ...good: number[]
      ): number => {
        statuses.set(`${what} ${statusCode}`, (statuses.get(`${what} ${statusCode}`) ?? 0) + 1)
        if (!good.includes(statusCode) && statusCode !== 503) t.fail(`${what}: ${statusCode} ${body}`)
        if (statusCode === 503 && headers['retry-after'] === undefined) t.fail(`${what}: 503 without retry-after`)
        return statusCode
      }
      const users = Array.from({ length: 3 }, async () => {
        while (traffic.goesOn) {
          const email = `knight${++number}@camelot.bt`
          const status = count('register', await send('POST', '/auth/register', { email, password: PASSWORD }), 201)
          ;(status === 201 ? created : unsure).push(email)
          if (status === 503) await sleep(20)
        }
      })
      const readers = sessions.map(async (headers, n) => {
        while (traffic.goesOn) {
          const reply = await send('GET', '/optional', undefined, headers)
          if (count(`optional by ${BACKENDS[n]}`, reply, 200) === 200 && reply.body !== 'known') {
            t.fail('a good session was anonymous')
          }
          if (count(`me by ${BACKENDS[n]}`, await send('GET', '/users/me', undefined, headers), 200) === 503) {
            await sleep(20)
          }
        }
      })
      const logins = BACKENDS.map(async (backend) => {
        while (traffic.goesOn) {
          if (count(`log in by ${backend}`, await login(backend, ARTHUR), 200, 204) === 503) await sleep(20)
        }
      })
      const all = Promise.all([...users, ...readers, ...logins])
      const seen = async (...wanted: string[]): Promise<void> => {
        statuses.clear()
        await until(async () => wanted.every((what) => statuses.has(what)))
        t.pass(`round ${round}: ${wanted.join(', ')}`)
      }
      const GOOD = [
        'register 201',
        'optional by jwt 200',
        'optional by cookie 200',
        'optional by redis 200',
        'log in by jwt 200',
        'log in by cookie 204',
        'log in by redis 200'
      ]
      await seen(...GOOD)
      await Promise.all([database.kill(), round === 1 ? redis.kill() : undefined])
      await seen('register 503', 'optional by jwt 503', 'optional by cookie 503', 'log in by jwt 503')
      await Promise.all([database.start(), redis.start()])
      await until(async () =>
        (await Promise.all(sessions.map((headers) => send('GET', '/users/me', undefined, headers)))).every(
          ({ statusCode }) => statusCode === 200
        )
      )
      await seen(...GOOD)
      traffic.goesOn = false
      await all
    }

    await app.users.settled()
    const { rows } = await pool.query<{ email: string; hashed_password: string; session_stamp: string }>(
      'SELECT * FROM "user" WHERE email <> $1',
      [ARTHUR]
    )
    const stored = new Map(rows.map((row) => [row.email, row]))
    t.same(
      created.filter((email) => !stored.has(email)),
      [],
      `${created.length} registrations with a 201 are all stored`
    )
    t.equal(stored.size, rows.length, 'no user is stored twice')
    for (const { hashed_password: hash, session_stamp: stamp } of rows) {
      if (!/^\$argon2id\$/.test(hash) || stamp.length < 20) t.fail('a half-written user')
    }
    const fired = events
      .filter(({ name }) => name === 'onAfterRegister')
      .map((event) => ('user' in event ? (event.user?.email ?? '') : ''))
    t.equal(new Set(fired).size, fired.length, 'no event is fired twice')
    t.same(fired.toSorted(), created.toSorted(), 'one event for each registration with a 201')
    for (const email of unsure.slice(0, 20)) {
      const expected = stored.has(email) ? 400 : 201
      t.equal(
        (await send('POST', '/auth/register', { email, password: PASSWORD })).statusCode,
        expected,
        'a registration with a 503 is stored completely or not at all'
      )
      t.equal((await login('jwt', email)).statusCode, 200, 'the password of a stored registration works')
    }
    for (const headers of sessions) {
      t.equal(
        (await send('GET', '/users/me', undefined, headers)).statusCode,
        200,
        'sessions from before the restarts are valid'
      )
    }
  }
)

/** Waits until a condition is true that depends on the retries of a client. */
async function until (isDone: () => Promise<boolean>): Promise<void> {
  for (let n = 0; n < 4000; n++) {
    if (await isDone()) return
    await sleep(25)
  }
  throw new Error('it did not come')
}
