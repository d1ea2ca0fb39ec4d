import t, { type Test } from 'tap'
import { memory } from '../../lib/entries/memory.js'
import { watchedAdapter, type WatchedAdapter } from '../fixtures/watched-adapter.js'
import { ARTHUR, assertErrorReply, buildApp, type TestApp } from '../helpers/build-app.js'

const MORDRED = 'mordred@camelot.bt'
const LATER = 'mordred@orkney.bt'
const UNDO = '/auth/undo-email-change'

interface Stolen extends TestApp {
  store: WatchedAdapter
  /** The undo token that was mailed to Arthur. */
  owners: string
  /** The undo token of the second change, which was mailed to the attacker. */
  attackers: string
}

/** An attacker with a session of Arthur has changed the e-mail twice, to e-mails of the attacker. */
async function steal (t: Test): Promise<Stolen> {
  const store = watchedAdapter(memory())
  const built = await buildApp(t, { adapter: store.adapter, tokens: { undo: {} } })
  const { app, create, send, bearer, tokenOf } = built
  await create({ is_verified: true })
  await send('PATCH', '/users/me', { email: MORDRED }, await bearer(ARTHUR))
  const owners = await tokenOf('onAfterEmailChange')
  await app.users.requestVerify(MORDRED)
  await send('POST', '/auth/verify', { token: await tokenOf('onAfterRequestVerify') })
  await send('PATCH', '/users/me', { email: LATER }, await bearer(MORDRED))
  return { ...built, store, owners, attackers: await tokenOf('onAfterEmailChange') }
}

t.test(
  'VER-06: while a use of a later undo token is refused, the owner undoes the first change: the later token is useless afterwards',
  async (t) => {
    let isHeld = true
    let k = 1
    for (; isHeld; k++) {
      const { app, store, send, create, owners, attackers } = await steal(t)
      const other = await create({ email: MORDRED }) // the attacker makes the server refuse the later token
      let release = (): void => {}
      const released = new Promise<void>((resolve) => {
        release = resolve
      })
      let hold = (): void => {}
      const held = new Promise<boolean>((resolve) => {
        hold = () => {
          resolve(true)
        }
      })
      store.watch(({ n, proceed }) => {
        if (n !== k) return proceed()
        hold()
        return released.then(proceed)
      })
      const attack = send('POST', UNDO, { token: attackers })
      isHeld = await Promise.race([held, attack.then(() => false)])
      if (!isHeld) break
      t.equal((await send('POST', UNDO, { token: owners })).statusCode, 200, `held at call ${k}`)
      release()
      await attack
      await app.users.delete(other)
      assertErrorReply(t, await send('POST', UNDO, { token: attackers }), 400, 'UNDO_EMAIL_CHANGE_BAD_TOKEN')
      t.not(await app.users.getByEmail(ARTHUR), null)
    }
    t.ok(k > 3, `the request has ${k - 1} calls`)
  }
)
