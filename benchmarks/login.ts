// Measures the cost of a login beside its password hash: the ratio of logins per second to password checks per second,
// with the same password helper and the same concurrency. Both are measured in turn, and medians are printed.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import users, { argon2Passwords, bearerTransport, cookieTransport, databaseStrategy, jwtStrategy } from 'fastify-users'
import { sqlite } from 'fastify-users/sqlite'
import { startLoadClient } from './helpers/load.js'
import { median, printTable, spread } from './helpers/statistics.js'

const AIM = 0.9
const ROUNDS = 5
const CONNECTIONS = 8
const MILLISECONDS = 800
const CREDENTIALS = { email: 'king.arthur@camelot.bt', password: 'guinevere-1' }

const folder = mkdtempSync(join(tmpdir(), 'fastify-users-bench-'))
const client = startLoadClient()
const passwords = argon2Passwords()
const app = Fastify()

try {
  await app.register(users, {
    adapter: sqlite(join(folder, 'users.db')),
    secret: randomBytes(32).toString('base64url'),
    passwords,
    backends: [
      { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) },
      { name: 'cookie', transport: cookieTransport(), strategy: databaseStrategy({ lifetimeSeconds: 3600 }) }
    ]
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await app.users.create(CREDENTIALS)
  const hash = await passwords.hash(CREDENTIALS.password)

  const variants = [
    { name: 'login: JWT, bearer, SQLite file', measure: () => measureLogins('jwt', 200), ratios: [] as number[] },
    {
      name: 'login: database, cookie, SQLite file',
      measure: () => measureLogins('cookie', 204),
      ratios: [] as number[]
    }
  ]
  const alone: number[] = []
  let before = await measureHashes(hash)
  for (let round = 0; round < ROUNDS; round++) {
    for (const { measure, ratios } of variants) {
      const rate = await measure()
      const after = await measureHashes(hash)
      ratios.push(rate / ((before + after) / 2))
      alone.push(after)
      before = after
    }
  }

  const typical = median(alone)
  printTable(`login: HTTP over loopback, ${CONNECTIONS} at once, argon2id m=19456 t=2 p=1`, [
    ['', 'ratio to the hash', 'quartiles', 'per second'],
    ['hash alone (argon2Passwords().verifyAndUpdate)', '1.00', '', typical.toFixed(1)],
    ...variants.map(({ name, ratios }) => [
      name,
      median(ratios).toFixed(2),
      spread(ratios, 2),
      (typical * median(ratios)).toFixed(1)
    ])
  ])
  console.log(`\nlogin: ${median(variants[0]?.ratios ?? []).toFixed(2)} of the hash alone (aim ${AIM.toFixed(2)})`)
} finally {
  client.close()
  await app.close()
  rmSync(folder, { recursive: true })
}

async function measureLogins (backend: string, expect: number): Promise<number> {
  const { port } = app.server.address() as { port: number }
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const body = new URLSearchParams({ username: CREDENTIALS.email, password: CREDENTIALS.password }).toString()
  const { perSecond } = await client.run(
    { port, method: 'POST', path: `/auth/${backend}/login`, headers: [headers], body, expect },
    { connections: CONNECTIONS, milliseconds: MILLISECONDS, awake: false }
  )
  return perSecond
}

async function measureHashes (hash: string): Promise<number> {
  const start = performance.now()
  let count = 0
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      while (performance.now() < start + MILLISECONDS) {
        const { ok } = await passwords.verifyAndUpdate(CREDENTIALS.password, hash)
        if (!ok) throw new Error('the password is right')
        count++
      }
    })
  )
  return (count / (performance.now() - start)) * 1000
}
