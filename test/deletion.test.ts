// Deletions that fail: no password opens an account that has lost its second factors, and the deletion can be repeated.
import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { account } from '../lib/features/account/index.js'
import { passkeys } from '../lib/features/passkeys/index.js'
import { memory } from '../lib/entries/memory.js'
import type { UserId, UsersOptions } from '../lib/index.js'
import { createAuthenticator } from './helpers/authenticator.js'
import { ARTHUR, assertErrorReply, PASSWORD } from './helpers/build-app.js'
import { PASSKEYS, PUBLIC_URL, type Creation } from './helpers/passkey-app.js'
import { buildTotpApp, totpFeatures, type TotpApp } from './helpers/totp-app.js'
import { watchedAdapter, type WatchedAdapter } from './fixtures/watched-adapter.js'

const MERLIN = 'merlin@camelot.bt'
const DAY = 86_400
const MODELS = ['totp', 'recovery_codes', 'passkey'] as const

interface Court extends TotpApp {
  store: WatchedAdapter
  id: UserId
  /** Runs a deletion whose call with this number fails. Returns the error, or null if there is no such call. */
  failAt(at: number, isAfterCall: boolean, run: () => Promise<unknown>): Promise<unknown>
  /** Logs in with the password alone. */
  tryPassword(): Promise<LightMyRequestResponse>
}

/** Builds an application in which Arthur has an app, a passkey and recovery codes. */
async function startCourt (
  t: Test,
  { isSuperuser = false, delay = 0, ...options }: Partial<UsersOptions> & { isSuperuser?: boolean; delay?: number } = {}
): Promise<Court> {
  const store = watchedAdapter(memory())
  const features = [passkeys(), ...totpFeatures(), account({ deletionDelaySeconds: delay })]
  const app = await buildTotpApp(t, { adapter: store.adapter, publicUrl: PUBLIC_URL, features, ...options })
  const { user: { id }, headers } = await app.enrol()
  await app.create({ email: MERLIN, is_superuser: true, is_verified: true })
  const begun = (await app.send('POST', `${PASSKEYS}/options`, undefined, headers)).json<Creation>()
  const credential = createAuthenticator(PUBLIC_URL).create(begun.options)
  const added = await app.send('POST', PASSKEYS, { ticket: begun.ticket, credential }, headers)
  if (added.statusCode !== 201) throw new Error(added.body)
  if (isSuperuser) await app.app.users.update(id as UserId, { is_superuser: true })
  return {
    ...app,
    store,
    id: id as UserId,
    async failAt (at, isAfterCall, run) {
      store.watch(async ({ n, proceed }) => {
        if (n === at && !isAfterCall) throw Object.assign(new Error('lost'), { code: 'ECONNRESET' })
        const result = await proceed()
        if (n === at) throw Object.assign(new Error('lost'), { code: 'ECONNRESET' })
        return result
      })
      const failure: unknown = await run().then(() => null, (error: unknown) => error)
      const { calls } = store
      store.watch()
      return calls < at ? null : failure
    },
    tryPassword: () => app.login('cookie', ARTHUR, PASSWORD)
  }
}

/** Returns the number of rows of second factors. */
async function countFactors ({ store }: Court): Promise<number> {
  const rows = await Promise.all(MODELS.map((model) => store.rows(model)))
  return rows.flat().length
}

for (const isSuperuser of [false, true]) {
  const name = isSuperuser ? 'a superuser' : 'a user'
  t.test(`SES-06, USR-07: a failed deletion of ${name} leaves all second factors, or an account that no login opens`, async (t) => {
    let isRequired = false
    const court = await startCourt(t, { isSuperuser, secondFactors: { required: () => isRequired } })
    const { store, id, app } = court
    const total = await countFactors(court)
    t.equal(total, 3)
    const restore = await store.snapshot()
    const left = new Set<number>()
    let failure: unknown = 1
    for (let at = 1; failure !== null; at++) {
      for (const isAfterCall of [false, true]) {
        await restore()
        failure = await court.failAt(at, isAfterCall, () => app.users.delete(id))
        if (failure === null) break
        const label = `${isAfterCall ? 'after' : 'before'} call ${at}`
        const factors = await countFactors(court)
        left.add(factors)
        for (isRequired of [false, true]) {
          const reply = await court.tryPassword()
          const hasAll = factors === total && reply.statusCode === 403
          t.ok(hasAll || reply.statusCode === 400, `${label}: ${factors} of ${total} factors, ${reply.statusCode}`)
          t.notMatch(reply.body, 'enrol', `${label}: nothing can be added`)
        }
        isRequired = false
        if (await app.users.getByEmail(ARTHUR) !== null) await app.users.delete(id)
        for (const model of [...MODELS, 'accesstoken', 'trusted_device']) t.strictSame(await store.rows(model), [], label)
        t.equal(await app.users.getByEmail(ARTHUR), null, label)
      }
    }
    t.strictSame([...left].sort(), [0, 1, 2, 3], 'the deletion fails at every point')
  })
}

t.test('a failed deletion that was requested before cannot be undone, and is repeated', async (t) => {
  const court = await startCourt(t, { delay: 30 * DAY })
  const { store, id, app, clock, events, send } = court
  const api = app.users.feature('account')
  await api.delete(id)
  await app.users.settled()
  const { token } = events.findLast(({ name }) => name === 'onAfterRequestDeletion') as unknown as { token: string }
  const total = await countFactors(court)
  const restore = await store.snapshot()
  const now = clock()
  let [refused, failures] = [0, 0]
  for (const isDue of [true, false]) {
    let failure: unknown = 1
    for (let at = 1; failure !== null; at++) {
      await restore()
      clock.tick((now - clock()) / 1000)
      if (isDue) clock.tick(31 * DAY)
      const run = async (): Promise<unknown> => {
        if (isDue && (await api.deleteDue()) === 1) return null
        if (isDue) throw new Error('not deleted')
        return await app.users.delete(id)
      }
      failure = await court.failAt(at, false, run)
      if (failure === null) break
      failures++
      const label = `${isDue ? 'due' : 'by code'}, call ${at}`
      const factors = await countFactors(court)
      const reply = await send('POST', '/auth/undo-deletion', { token })
      const isUndone = reply.statusCode === 204 || (factors < total && await api.cancelDeletion(id))
      if (factors < total) {
        refused++
        t.notOk(isUndone, `${label}: no undo with ${factors} of ${total} factors`)
        assertErrorReply(t, reply, 400, 'UNDO_DELETION_BAD_TOKEN')
        t.equal((await court.tryPassword()).statusCode, 400, label)
        clock.tick(2 * 3600)
        await api.deleteDue()
        t.equal(await app.users.getByEmail(ARTHUR), null, `${label}: it is repeated`)
        t.strictSame(await store.rows('account_deletion'), [], label)
        t.equal(await countFactors(court), 0, label)
      } else {
        t.ok([400, 403].includes((await court.tryPassword()).statusCode), `${label}: ${reply.statusCode}`)
      }
    }
  }
  t.ok(refused > 4 && failures > refused, `${refused} of ${failures}`)
})

t.test('a deletion that a hook refuses changes nothing', async (t) => {
  for (const delay of [0, 30 * DAY]) {
    const onBeforeDelete = (): void => {
      throw new Error('unpaid')
    }
    const court = await startCourt(t, { delay, isSuperuser: true, hooks: { onBeforeDelete } })
    const { store, id, app } = court
    if (delay > 0) await app.users.feature('account').delete(id)
    const before = await store.dump()
    await t.rejects(app.users.delete(id), { message: 'unpaid' })
    t.equal(await store.dump(), before)
  }
})
