import t from 'tap'
import { memory } from '../lib/entries/memory.js'
import { sqlite } from '../lib/entries/sqlite.js'
import { withSlowReads } from '../lib/testing/index.js'
import { ARTHUR, buildApp, PASSWORD, assertErrorReply, type TestApp } from './helpers/build-app.js'

const MERLIN = 'merlin@camelot.bt'
const NEW_PASSWORD = 'excalibur-2'

const activeSuperusers = async ({ app }: TestApp, emails: readonly string[]): Promise<number> => {
  const found = await Promise.all(emails.map((email) => app.users.getByEmail(email)))
  return found.filter((user) => user?.is_superuser === true && user.is_active).length
}

t.test(
  'USR-07: the last active superuser cannot be demoted, deactivated or deleted, by a route or by code',
  async (t) => {
    const app = await buildApp(t)
    const { id } = await app.create({ is_superuser: true, is_verified: true })
    await app.create({ email: 'inactive@camelot.bt', is_superuser: true, is_active: false })
    await app.create({ email: 'galahad@camelot.bt' })
    const url = `/users/${String(id)}`
    const headers = await app.cookie(ARTHUR)
    app.events.length = 0
    for (const change of [
      { is_superuser: false },
      { is_active: false },
      { is_superuser: false, is_active: false, email: 'new@camelot.bt' }
    ]) {
      assertErrorReply(t, await app.send('PATCH', url, change, headers), 400, 'LAST_SUPERUSER')
      await t.rejects(app.app.users.update(id, change), { code: 'FST_USERS_LAST_SUPERUSER' })
    }
    assertErrorReply(t, await app.send('DELETE', url, undefined, headers), 400, 'LAST_SUPERUSER')
    await t.rejects(app.app.users.delete(id), { code: 'FST_USERS_LAST_SUPERUSER' })
    t.strictSame(app.events, [], 'no hook is called')
    t.match(await app.app.users.get(id), { email: ARTHUR, is_active: true, is_superuser: true })
    t.equal(
      (await app.send('PATCH', url, { is_superuser: true, is_active: true }, headers)).statusCode,
      200,
      'changes that keep the flags are allowed'
    )

    const other = await app.create({ email: MERLIN, is_superuser: true })
    t.equal(
      (await app.send('PATCH', url, { is_superuser: false }, headers)).statusCode,
      200,
      'allowed if there is another superuser'
    )
    await app.app.users.update(id, { is_superuser: true })
    await app.app.users.delete(other)
    t.equal(await app.app.users.getByEmail(MERLIN), null)
  }
)

for (const [store, make] of Object.entries({
  memory: () => withSlowReads(memory(), 3),
  sqlite: () => sqlite(':memory:')
})) {
  t.test(
    `USR-07, RACE-01: parallel demotions, deactivations and deletions always leave an active superuser (${store})`,
    async (t) => {
      const emails = [ARTHUR, MERLIN, 'morgana@camelot.bt']
      interface Superuser {
        id: string
        headers: { authorization: string }
      }
      type Act = (app: TestApp, own: Superuser, next: Superuser) => Promise<unknown>
      const actions: Record<string, Act> = {
        'demote themselves': ({ send }, { id, headers }) =>
          send('PATCH', `/users/${id}`, { is_superuser: false }, headers),
        'delete themselves': ({ send }, { id, headers }) => send('DELETE', `/users/${id}`, undefined, headers),
        'deactivate each other': ({ send }, { headers }, { id }) =>
          send('PATCH', `/users/${id}`, { is_active: false }, headers),
        'are deleted by app.users.delete': ({ app }, { id }) => app.users.delete(id).catch(() => {})
      }
      for (const [name, act] of Object.entries(actions)) {
        const app = await buildApp(t, { adapter: make() })
        const superusers: Superuser[] = []
        for (const email of emails) {
          const { id } = await app.create({ email, is_superuser: true })
          superusers.push({ id: String(id), headers: await app.bearer(email) })
        }
        await Promise.all(superusers.map((own, i) => act(app, own, superusers[(i + 1) % superusers.length] ?? own)))
        t.ok((await activeSuperusers(app, emails)) >= 1, name)
      }
    }
  )
}

t.test('USR-07: a failed deletion leaves an inactive user without rights, and can be repeated', async (t) => {
  const adapter = memory()
  const failing = withSlowReads(adapter, 0)
  let down = false
  const remove = failing.delete.bind(failing)
  failing.delete = async (model, where) => {
    if (down && model.name === 'user') throw Object.assign(new Error('down'), { code: 'ECONNRESET' })
    return await remove(model, where)
  }
  const app = await buildApp(t, { adapter: failing })
  const { id } = await app.create({ is_superuser: true })
  await app.create({ email: MERLIN, is_superuser: true })
  down = true
  await t.rejects(app.app.users.delete(id), { code: 'FST_USERS_STORE_UNAVAILABLE' })
  t.match(await app.app.users.get(id), { is_superuser: false, is_active: false })
  down = false
  await app.app.users.delete(id)
  t.equal(await app.app.users.get(id), null)
})

t.test(
  "USR-09: with sensitiveChanges: 'confirm', superusers prove who they are at their own id too",
  async (t) => {
    const app = await buildApp(t, { sensitiveChanges: 'confirm' })
    const { id } = await app.create({ is_superuser: true, is_verified: true })
    const other = await app.create({ email: 'galahad@camelot.bt' })
    const url = `/users/${String(id)}`
    const headers = await app.cookie(ARTHUR)
    app.tick(301)
    const stale = { code: 'INSUFFICIENT_USER_AUTHENTICATION', max_age: 300 }
    assertErrorReply(t, await app.send('DELETE', url, undefined, headers), 401, stale.code, stale, 'their own account')
    for (const change of [{ password: NEW_PASSWORD }, { email: 'new@camelot.bt' }]) {
      const [status, word, detail] = 'password' in change
        ? [400, 'UPDATE_USER_BAD_CURRENT_PASSWORD', undefined] as const
        : [401, stale.code, stale] as const
      assertErrorReply(t, await app.send('PATCH', url, change, headers), status, word, detail)
      assertErrorReply(
        t,
        await app.send('PATCH', url, { ...change, current_password: 'wrong-password' }, headers),
        400,
        'UPDATE_USER_BAD_CURRENT_PASSWORD'
      )
    }
    const proposed = await app.send('PATCH', url, { email: 'new@camelot.bt', current_password: PASSWORD }, headers)
    t.match(proposed.json<object>(), { email: ARTHUR, is_verified: true }, 'the new e-mail must be verified first')
    t.equal((await app.send('PATCH', url, { is_verified: true }, headers)).statusCode, 200, 'flags need no password')
    t.equal(
      (await app.send('PATCH', url, { password: NEW_PASSWORD, current_password: PASSWORD }, headers)).statusCode,
      200
    )
    t.equal((await app.login('jwt', ARTHUR, NEW_PASSWORD)).statusCode, 200)
    t.equal(
      (
        await app.send(
          'PATCH',
          `/users/${String(other.id)}`,
          { password: NEW_PASSWORD },
          await app.bearer(ARTHUR, NEW_PASSWORD)
        )
      ).statusCode,
      200,
      'changes of other users need no password'
    )
  }
)
