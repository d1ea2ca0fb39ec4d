import { connect, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { ARTHUR, buildApp, PASSWORD, type TestApp } from '../helpers/build-app.js'

const LANCELOT = 'lancelot@camelot.bt'

/**
 * Sends the headers and the first byte of a body, runs `meanwhile`, then sends the rest. Returns the status of the
 * reply.
 */
async function sendSlowly (
  { app }: TestApp,
  method: string,
  url: string,
  headers: Record<string, string>,
  payload: object,
  meanwhile: () => Promise<unknown>
): Promise<number> {
  const body = JSON.stringify(payload)
  const arrived = new Promise<void>((resolve) => {
    app.server.once('request', () => {
      resolve()
    })
  })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  const lines = {
    ...headers,
    host: 'localhost',
    connection: 'close',
    'content-type': 'application/json',
    'content-length': String(body.length)
  }
  socket.write(
    `${method} ${url} HTTP/1.1\r\n${Object.entries(lines)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')}\r\n${body.slice(0, 1)}`
  )
  await arrived
  await new Promise((resolve) => setImmediate(resolve)) // the guard has run by now
  await meanwhile()
  socket.write(body.slice(1))
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => {
    chunks.push(chunk)
  })
  await once(socket, 'close')
  return Number(Buffer.concat(chunks).toString().split(' ')[1])
}

const bodies: Record<string, object> = {
  'a name': { display_name: 'Mordred' },
  'an address': { email: 'mordred@camelot.bt' },
  'a password': { password: 'excalibur-1' }
}

for (const [what, body] of Object.entries(bodies)) {
  t.test(`SES-06, LOG-04: a request whose session ends while ${what} is transferred changes nothing`, async (t) => {
    const built = await buildApp(t)
    await built.app.listen({ port: 0, host: '127.0.0.1' })
    const user = await built.create()
    for (const headers of [await built.bearer(ARTHUR), await built.cookie(ARTHUR)]) {
      t.equal(
        await sendSlowly(built, 'PATCH', '/users/me', headers, body, () => built.app.users.endSessions(user)),
        401
      )
    }
    t.strictSame(await built.app.users.get(user.id), user)
    t.equal((await built.login('jwt', ARTHUR, PASSWORD)).statusCode, 200)
  })
}

t.test(
  'SES-06, USR-10: a user who loses is_superuser while the body is transferred changes and deletes no other user',
  async (t) => {
    const built = await buildApp(t)
    await built.app.listen({ port: 0, host: '127.0.0.1' })
    const admin = await built.create({ is_superuser: true })
    const other = await built.create({ email: LANCELOT })
    // the last superuser cannot lose is_superuser
    await built.create({ email: 'merlin@camelot.bt', is_superuser: true })
    const { users } = built.app
    for (const [method, body] of [
      ['PATCH', { is_superuser: true }],
      ['DELETE', {}]
    ] as const) {
      for (const [lost, status] of [
        [{ is_superuser: false }, 403],
        [{ is_active: false }, 401]
      ] as const) {
        const headers = await built.bearer(ARTHUR)
        t.equal(
          await sendSlowly(built, method, `/users/${other.id}`, headers, body, () => users.update(admin.id, lost)),
          status
        )
        await users.update(admin.id, { is_superuser: true, is_active: true })
      }
    }
    t.strictSame(await users.get(other.id), other)
  }
)

t.test('SES-06: the same requests succeed when the body arrives in one piece', async (t) => {
  const built = await buildApp(t)
  await built.app.listen({ port: 0, host: '127.0.0.1' })
  await built.create()
  t.equal(
    await sendSlowly(
      built,
      'PATCH',
      '/users/me',
      await built.bearer(ARTHUR),
      { email: 'arthur@camelot.bt' },
      async () => {}
    ),
    200
  )
})
