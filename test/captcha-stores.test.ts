import { solveChallenge, type Challenge } from 'altcha-lib'
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2'
import t from 'tap'
import { altcha } from '../lib/captcha/index.js'
import { assertErrorReply, buildApp, PASSWORD } from './helpers/build-app.js'
import { everyStore } from './helpers/every-store.js'

for (const { name, options, open } of everyStore) {
  t.test(`${name}: of parallel uses of one ALTCHA solution at two processes, one succeeds`, options, async (t) => {
    const makeAdapter = await open(t)
    const start = (): ReturnType<typeof buildApp> =>
      buildApp(t, { adapter: makeAdapter(), captcha: { provider: altcha({ cost: 1, zeros: 1 }) } })
    const processes = [await start(), await start()]
    const [first] = processes
    const challenge = (await first?.send('GET', '/auth/captcha'))?.json<Challenge>() as Challenge
    const payload = { challenge, solution: await solveChallenge({ challenge, deriveKey }) }
    const token = Buffer.from(JSON.stringify(payload)).toString('base64')
    const register = (index: number, process = processes[index % 2]) =>
      process?.send('POST', '/auth/register', {
        email: `knight-${index}@camelot.bt`,
        password: PASSWORD,
        altcha: token
      })
    const replies = (await Promise.all(Array.from({ length: 8 }, (_, index) => register(index)))).filter(
      (reply) => reply !== undefined
    )
    t.strictSame(replies.map(({ statusCode }) => statusCode).sort(), [201, ...Array.from({ length: 7 }, () => 400)])
    for (const reply of replies.filter(({ statusCode }) => statusCode === 400)) {
      assertErrorReply(t, reply, 400, 'CAPTCHA_FAILED')
    }
  })
}
