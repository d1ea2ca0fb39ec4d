import { readFileSync } from 'node:fs'
import t from 'tap'
import { argon2Passwords } from '../lib/passwords/index.js'
import { fixturePath } from './helpers/root.js'

const { hashes }: { hashes: Record<string, { password: string; hash: string }> } = JSON.parse(
  readFileSync(fixturePath('fastapi-users.json'), 'utf8')
)

const fastapiUsers = { memoryCost: 65536, timeCost: 3, parallelism: 4 } as const
const wrong = { ok: false, newHash: null }

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
