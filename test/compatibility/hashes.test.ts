import { readFileSync } from 'node:fs'
import { hash as hashArgon2, verify as verifyArgon2 } from '@node-rs/argon2'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import users, { bearerTransport, jwtStrategy, type DatabaseAdapter } from '../../lib/index.js'
import { memory } from '../../lib/entries/memory.js'
import { captureEvents } from '../../lib/testing/index.js'
import { storedModel, storedRows } from '../helpers/build-app.js'
import { SECRETS } from './rows.js'

interface Sample {
  password: string
  hash: string
}
const { hashes } = JSON.parse(readFileSync('test/fixtures/fastapi-users.json', 'utf8')) as {
  hashes: Record<string, Sample>
}

const WRITTEN = /^\$argon2id\$v=19\$m=65536,t=3,p=4\$[\w+/]{22}\$[\w+/]{43}$/
const {
  bcrypt_2b: bcrypt = { password: '', hash: '' },
  argon2id_default: current = { password: '', hash: '' },
  bcrypt_72_bytes_then_more: long = { password: '', hash: '' }
} = hashes

interface Service {
  app: FastifyInstance
  /** Stores a user with a hash of another service. */
  store(name: string, hash: string): Promise<void>
  hashOf(name: string): Promise<string>
  login(name: string, password: string): Promise<number>
  post(url: string, body: object): Promise<number>
  resetToken(name: string): Promise<string>
}

/** Creates an application in compatibility mode with the default hash parameters of that mode. */
async function serve (t: Test): Promise<Service> {
  const app = Fastify()
  t.teardown(() => app.close())
  const adapter: DatabaseAdapter = memory()
  await app.register(users, {
    adapter,
    secret: SECRETS.auth,
    limits: false,
    compatibility: 'fastapi-users',
    backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 60 }) }]
  })
  const { tokenOf } = captureEvents(app)
  await app.ready()
  const email = (name: string): string => `${name}@camelot.bt`
  return {
    app,
    async store (name, hashed_password) {
      await adapter.create(storedModel('user'), {
        id: crypto.randomUUID(),
        email: email(name),
        hashed_password,
        is_active: true,
        is_superuser: false,
        is_verified: false
      })
    },
    hashOf: async (name) =>
      String((await storedRows(adapter, 'user')).find((row) => row.email === email(name))?.hashed_password),
    async login (name, password) {
      const payload = new URLSearchParams({ username: email(name), password }).toString()
      return (
        await app.inject({
          method: 'POST',
          url: '/auth/jwt/login',
          payload,
          headers: { 'content-type': 'application/x-www-form-urlencoded' }
        })
      ).statusCode
    },
    post: async (url, payload) => (await app.inject({ method: 'POST', url, payload })).statusCode,
    async resetToken (name) {
      await app.users.forgotPassword(email(name))
      return await tokenOf('onAfterForgotPassword')
    }
  }
}

t.test(
  'rows 63, 64: every hash format of FastAPI Users verifies, and a login replaces it by the current format',
  async (t) => {
    const { store, hashOf, login } = await serve(t)
    const salt = Buffer.from('8 bytes!')
    const samples: Record<string, Sample> = {
      ...hashes,
      bcrypt_2x: { password: bcrypt.password, hash: bcrypt.hash.replace('$2b$', '$2x$') },
      argon2d: {
        password: bcrypt.password,
        hash: await hashArgon2(bcrypt.password, { algorithm: 0, memoryCost: 64, timeCost: 1 })
      },
      argon2id_short_salt: {
        password: bcrypt.password,
        hash: await hashArgon2(bcrypt.password, { algorithm: 2, memoryCost: 64, timeCost: 1, salt })
      }
    }
    delete samples.argon2id_default
    for (const [name, { password, hash }] of Object.entries(samples)) {
      await store(name, hash)
      t.equal(await login(name, `${password.slice(0, -1)}_`.slice(0, 60)), 400, `${name}: a wrong password`)
      t.equal(await hashOf(name), hash, `${name}: the hash is unchanged`)
      t.equal(await login(name, password), 200, `${name}: the right password`)
      const written = await hashOf(name)
      if (name === 'argon2id_unicode') {
        t.equal(
          written,
          hash,
        `${name}: the hash is kept because its parameters are current`
        )
      } else t.match(written, WRITTEN, `${name}: replaced`)
      t.ok(await verifyArgon2(written, password), `${name}: the new hash matches the password`)
    }
  }
)

t.test(
  'row 63: a hash with the parameters of FastAPI Users is kept, so neither service rewrites hashes of the other',
  async (t) => {
    const { store, hashOf, login, post } = await serve(t)
    await store('arthur', current.hash)
    t.equal(await login('arthur', current.password), 200)
    t.equal(await hashOf('arthur'), current.hash)

    t.equal(await post('/auth/register', { email: 'new@camelot.bt', password: 'x' }), 201)
    const written = await hashOf('new')
    t.match(written, WRITTEN, 'a new hash has the parameters, salt length and digest length of FastAPI Users')
    t.equal(written.length, 97)
    t.equal(await login('new', 'x'), 200)
    t.equal(await hashOf('new'), written)
  }
)

t.test('row 64: a bcrypt hash matches the first 72 bytes of a password, and its replacement matches all bytes', async (t) => {
  const { store, hashOf, login } = await serve(t)
  t.ok(Buffer.byteLength(long.password) > 72)
  await store('arthur', long.hash)
  t.equal(await login('arthur', long.password), 200)
  t.match(await hashOf('arthur'), WRITTEN)
  t.equal(await login('arthur', long.password.slice(0, 72)), 400, 'a password without the bytes after the first 72')
  t.equal(await login('arthur', long.password), 200)

  await store('lancelot', long.hash)
  t.equal(await login('lancelot', `x${long.password.slice(1, 71)}y`), 400, 'the first 72 bytes count')
})

t.test('rows 52, 64: a login that replaces the hash invalidates earlier reset tokens', async (t) => {
  const { store, login, post, resetToken } = await serve(t)
  await store('arthur', bcrypt.hash)
  const token = await resetToken('arthur')
  t.equal(await login('arthur', bcrypt.password), 200)
  t.equal(await post('/auth/reset-password', { token, password: 'x' }), 400)
})

t.test('row 63: passwords are hashed unchanged: without normalisation, with NUL, and without a minimum length', async (t) => {
  const { login, post, hashOf } = await serve(t)
  const decomposed = 'cafe\u0301'
  t.equal(await post('/auth/register', { email: 'a@camelot.bt', password: decomposed }), 201)
  t.ok(await verifyArgon2(await hashOf('a'), decomposed))
  t.strictSame([await login('a', decomposed), await login('a', decomposed.normalize('NFC'))], [200, 400])
  t.equal(await post('/auth/register', { email: 'b@camelot.bt', password: 'a\0b' }), 201)
  t.strictSame([await login('b', 'a\0b'), await login('b', 'a')], [200, 400])
})

t.test('row 10: a login with a stored hash of an unknown format is refused as a wrong password', async (t) => {
  const { store, login } = await serve(t)
  for (const [i, hash] of ['', 'pbkdf2_sha256$1$x$y', '$2b$12$', '$argon2id$v=19$m=65536', '!'].entries()) {
    await store(`user-${i}`, hash)
    t.equal(await login(`user-${i}`, 'x'), 400, JSON.stringify(hash))
  }
})
