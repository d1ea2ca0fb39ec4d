import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { memory } from '../lib/entries/memory.js'
import { argon2Passwords } from '../lib/passwords/index.js'
import { ARTHUR, assertErrorReply, buildApp, PASSWORD, storedModel, storedRows, weakerHash } from './helpers/build-app.js'
import { fixturePath } from './helpers/root.js'

const { hashes }: { hashes: Record<string, { password: string; hash: string }> } = JSON.parse(
  readFileSync(fixturePath('fastapi-users.json'), 'utf8')
)

const fastapiUsers = { memoryCost: 65536, timeCost: 3, parallelism: 4 } as const
const wrong = { ok: false, newHash: null }

async function app (t: Test) {
  const adapter = memory()
  return {
    ...(await buildApp(t, { adapter })),
    userRow: async () => (await storedRows(adapter, 'user'))[0],
    setHash: (hashed_password: string) => adapter.update(storedModel('user'), { email: ARTHUR }, { hashed_password })
  }
}

t.test('row 63: hashes with m=65536, t=3, p=4 look like those of FastAPI Users', async (t) => {
  const hash = await argon2Passwords(fastapiUsers).hash('excalibur-1')
  t.match(hash, /^\$argon2id\$v=19\$m=65536,t=3,p=4\$[\w+/]{22}\$[\w+/]{43}$/)
  t.equal(hash.length, 97)
})

t.test(
  'row 64: every hash format that FastAPI Users has written verifies, and all but the current format are upgraded',
  async (t) => {
    const passwords = argon2Passwords(fastapiUsers)
    const kept = ['argon2id_default', 'argon2id_unicode']
    t.ok(Object.keys(hashes).length >= 8)
    for (const [name, { password, hash }] of Object.entries(hashes)) {
      const { ok, newHash } = await passwords.verifyAndUpdate(password, hash)
      t.ok(ok, `${name} verifies`)
      t.equal(newHash === null, kept.includes(name), `${name} is ${kept.includes(name) ? 'kept' : 'upgraded'}`)
      if (newHash !== null) {
        t.match(newHash, /^\$argon2id\$v=19\$m=65536,t=3,p=4\$/, name)
        t.same(
          await passwords.verifyAndUpdate(password, newHash),
          { ok: true, newHash: null },
          `${name} after its upgrade`
        )
      }
      t.same(await passwords.verifyAndUpdate(`!${password}`, hash), wrong, `${name} with another password`)
      t.same(await passwords.verifyAndUpdate('', hash), wrong, `${name} with an empty password`)
    }
  }
)

t.test('logins with stored hashes of other programs', async (t) => {
  t.test(
    'row 64, PW-09, PW-03: log in; a hash weaker than new ones is replaced once, a stronger one is kept',
    async (t) => {
      for (const [name, { password, hash }] of Object.entries({
        ...hashes,
        weaker: { password: PASSWORD, hash: await weakerHash(PASSWORD) }
      })) {
        const { create, login, setHash, userRow } = await app(t)
        await create()
        await setHash(hash)
        const before = await userRow()
        assertErrorReply(t, await login('jwt', ARTHUR, `wrong ${password}`), 400, 'LOGIN_BAD_CREDENTIALS')
        t.equal((await userRow())?.['hashed_password'], hash, `${name}: a wrong password does not replace the hash`)
        const reply = await login('jwt', ARTHUR, password)
        t.equal(reply.statusCode, 200, name)
        t.same(Object.keys(reply.json<object>()), ['access_token', 'token_type'])
        const after = await userRow()
        if (hash.startsWith('$2') || name === 'weaker') {
          t.match(after?.['hashed_password'], /^\$argon2id\$v=19\$m=8,t=1,p=1\$/, name)
        } else t.equal(after?.['hashed_password'], hash, `${name} is stronger than the hashes of this test`)
        t.same(
          { ...after, hashed_password: null },
          { ...before, hashed_password: null },
          'the session stamp is unchanged, so no session ends'
        )
        t.equal((await login('jwt', ARTHUR, password)).statusCode, 200, 'the next login succeeds')
        t.equal((await userRow())?.['hashed_password'], after?.['hashed_password'])
      }
    }
  )

  t.test('PW-09, row 64: an upgrade keeps earlier sessions and emits no event of its own', async (t) => {
    const { create, login, cookie, setHash, send, events } = await app(t)
    await create()
    const session = await cookie(ARTHUR)
    await setHash(hashes['bcrypt_2b']?.hash as string)
    events.length = 0
    t.equal((await login('jwt', ARTHUR, 'excalibur-1')).statusCode, 200)
    t.same(
      events.map(({ name }) => name),
      ['onBeforeLogin', 'onIssueToken', 'onAfterLogin']
    )
    t.equal((await send('GET', '/users/me', undefined, session)).statusCode, 200)
  })

  t.test('PW-09: a failed upgrade does not fail the login', async (t) => {
    const adapter = memory()
    let failing = true
    const broken = Object.assign(Object.create(adapter), {
      define: adapter.define.bind(adapter),
      open: adapter.open.bind(adapter),
      create: adapter.create.bind(adapter),
      findOne: adapter.findOne.bind(adapter),
      findMany: adapter.findMany.bind(adapter),
      delete: adapter.delete.bind(adapter),
      findWithUser: adapter.findWithUser?.bind(adapter),
      update: async (...args: Parameters<typeof adapter.update>) => {
        if (failing) throw new Error('read-only')
        return adapter.update(...args)
      }
    }) as typeof adapter
    const { create, login, app: fastify, send } = await buildApp(t, { adapter: broken })
    await create()
    const hash = hashes['bcrypt_2a']?.hash as string
    await adapter.update(storedModel('user'), { email: ARTHUR }, { hashed_password: hash })
    const reply = await login('jwt', ARTHUR, 'excalibur-1')
    t.equal(reply.statusCode, 200)
    await fastify.users.settled()
    const row = async () => (await storedRows(adapter, 'user'))[0]
    t.equal((await row())?.['hashed_password'], hash)
    t.equal(
      (
        await send('GET', '/users/me', undefined, {
          authorization: `Bearer ${reply.json<{ access_token: string }>().access_token}`
        })
      ).statusCode,
      200
    )
    failing = false
    t.equal((await login('jwt', ARTHUR, 'excalibur-1')).statusCode, 200)
    t.match((await row())?.['hashed_password'], /^\$argon2id/)
  })
})
