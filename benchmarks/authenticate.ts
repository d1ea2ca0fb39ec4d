// Measures the cost of a guarded request: the ratio of a guarded route to a bare Fastify route with the same JSON
// reply. Each variant is measured between two rounds of the bare route, and the medians of the ratios are printed. The
// ratio of processor time excludes other work of the machine. JWT strategies cache verified signatures; one row shows
// the cost without a cache hit.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import users, {
  authenticate,
  bearerTransport,
  cookieTransport,
  currentUser,
  databaseStrategy,
  jwtStrategy,
  userSchemas,
  type DatabaseAdapter,
  type User
} from 'fastify-users'
import { memory } from 'fastify-users/memory'
import { sqlite } from 'fastify-users/sqlite'
import { startLoadClient, type LoadResult } from './helpers/load.js'
import { median, printTable, spread } from './helpers/statistics.js'

type Headers = Record<string, string>
interface Variant {
  name: string
  app: FastifyInstance
  path: string
  headers: readonly Headers[]
}
interface Measured extends Variant {
  wall: number[]
  cpu: number[]
}

const AIM = 0.4
const HTTP = { rounds: 11, connections: 16, milliseconds: 120, awake: true }
const INJECT = { rounds: 9, milliseconds: 60 }
const MANY = 2000 // more tokens than the signature cache of a JWT strategy holds
const CREDENTIALS = { email: 'king.arthur@camelot.bt', password: 'guinevere-1' }

const { UserRead } = userSchemas()
const folder = mkdtempSync(join(tmpdir(), 'fastify-users-bench-'))
const client = startLoadClient()
const apps: FastifyInstance[] = []

try {
  const onFile = await buildGuarded(sqlite(join(folder, 'users.db')))
  const inMemory = await buildGuarded(memory())
  const bare = { name: 'bare', app: await buildBare(onFile.user), path: '/bare', headers: [onFile.bearer] }
  const path = '/guarded'
  const variants: Variant[] = [
    { name: 'JWT, bearer, SQLite file', app: onFile.app, path, headers: [onFile.bearer] },
    { name: `the same, ${MANY} tokens in turn`, app: onFile.app, path, headers: onFile.bearers },
    { name: 'database, cookie, SQLite file', app: onFile.app, path, headers: [onFile.cookie] },
    { name: 'JWT, bearer, memory', app: inMemory.app, path, headers: [inMemory.bearer] }
  ]

  const overHttp = await compare(bare, variants, HTTP.rounds, measureHttp)
  const byInject = await compare(bare, variants, INJECT.rounds, measureInject)
  print(`authenticate: HTTP over loopback, ${HTTP.connections} connections, client in a separate process`, overHttp)
  print('authenticate: app.inject, one request at a time, without sockets', byInject)
  const [first] = overHttp
  console.log(
    `\nauthenticate: JWT with a SQLite row ${median(first?.wall ?? []).toFixed(2)} of bare requests per second (aim ${AIM.toFixed(2)}), ${median(first?.cpu ?? []).toFixed(2)} by processor time`
  )
} finally {
  client.close()
  for (const app of apps) await app.close()
  rmSync(folder, { recursive: true })
}

async function buildGuarded (
  adapter: DatabaseAdapter
): Promise<{ app: FastifyInstance; user: User; bearer: Headers; bearers: Headers[]; cookie: Headers }> {
  const app = Fastify()
  apps.push(app)
  await app.register(users, {
    adapter,
    secret: randomBytes(32).toString('base64url'),
    backends: [
      { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
      {
        name: 'cookie',
        transport: cookieTransport({ name: 'session' }),
        strategy: databaseStrategy({ lifetimeSeconds: 3600 })
      }
    ]
  })
  app.get('/guarded', { preHandler: authenticate, schema: { response: { 200: UserRead } } }, async (request) =>
    currentUser(request)
  )
  await app.listen({ port: 0, host: '127.0.0.1' })

  const user = await app.users.create(CREDENTIALS)
  const row = await app.users.checkCredentials({ username: CREDENTIALS.email, password: CREDENTIALS.password })
  if (row === null) throw new Error('the credentials are right')
  const tokenOf = async (backend: string): Promise<string> =>
    (await app.users.login(row, { backend })).issued?.token ?? ''
  const bearers = []
  for (let i = 0; i < MANY; i++) bearers.push({ authorization: `Bearer ${await tokenOf('jwt')}` })
  return {
    app,
    user,
    bearer: { authorization: `Bearer ${await tokenOf('jwt')}` },
    bearers,
    cookie: { cookie: `session=${await tokenOf('cookie')}` }
  }
}

async function buildBare (user: User): Promise<FastifyInstance> {
  const app = Fastify()
  apps.push(app)
  app.get('/bare', { schema: { response: { 200: UserRead } } }, async () => user)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

/**
 * Measures the bare route and the variants in turn. Each ratio uses the mean of the bare rounds before and after. The
 * first round is a warm-up.
 */
async function compare (
  bare: Variant,
  variants: readonly Variant[],
  rounds: number,
  measure: (variant: Variant) => Promise<LoadResult>
): Promise<Measured[]> {
  const measured = variants.map((variant): Measured => ({ ...variant, wall: [], cpu: [] }))
  let before = await measure(bare)
  for (let round = 0; round <= rounds; round++) {
    for (const variant of measured) {
      const result = await measure(variant)
      const after = await measure(bare)
      if (round > 0) {
        variant.wall.push((result.perSecond * 2) / (before.perSecond + after.perSecond))
        variant.cpu.push((before.cpuMicroseconds + after.cpuMicroseconds) / 2 / result.cpuMicroseconds)
      }
      before = after
    }
  }
  return measured
}

function measureHttp ({ app, path, headers }: Variant): Promise<LoadResult> {
  const { port } = app.server.address() as { port: number }
  return client.run({ port, method: 'GET', path, headers, expect: 200 }, HTTP)
}

async function measureInject ({ app, path, headers }: Variant): Promise<LoadResult> {
  const start = performance.now()
  const cpu = process.cpuUsage()
  let count = 0
  while (performance.now() < start + INJECT.milliseconds) {
    const { statusCode } = await app.inject({
      method: 'GET',
      url: path,
      headers: headers[count % headers.length] ?? {}
    })
    if (statusCode !== 200) throw new Error(`status ${statusCode}`)
    count++
  }
  const { user, system } = process.cpuUsage(cpu)
  return { perSecond: (count / (performance.now() - start)) * 1000, cpuMicroseconds: (user + system) / count }
}

function print (title: string, measured: readonly Measured[]): void {
  printTable(title, [
    ['', 'requests/s to bare', 'quartiles', 'by processor time', 'quartiles'],
    ['bare', '1.00', '', '1.00', ''],
    ...measured.map(({ name, wall, cpu }) => [
      name,
      median(wall).toFixed(2),
      spread(wall, 2),
      median(cpu).toFixed(2),
      spread(cpu, 2)
    ])
  ])
}
