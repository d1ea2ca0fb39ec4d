import type { FastifyBaseLogger } from 'fastify'
import t from 'tap'
import type { Mail, UsersEvents } from '../lib/index.js'
import { createOutbox } from '../lib/mail/outbox.js'
import { ARTHUR, buildApp, PASSWORD } from './helpers/build-app.js'
import { buildMailApp, LANCELOT, NO_REQUEST, PUBLIC_URL, samples, TOKEN, user, type MailApp } from './helpers/mails.js'

const NEW_PASSWORD = 'excalibur-9'
const kindsOf = ({ mails }: MailApp): string[] => mails.map(({ kind }) => kind)

/** Returns the token in the link of a mail. */
function tokenIn ({ text }: Mail): string {
  return decodeURIComponent(/^https:\S*#(\S+)$/m.exec(text)?.[1] ?? '')
}

t.test('each event causes one mail to the stored e-mail, with a link to a page of the application', async (t) => {
  const built = await buildMailApp(t)
  for (const [kind, { event, payload, to, page }] of Object.entries(samples)) {
    built.mails.length = 0
    await built.fire(event, payload as never)
    t.same(kindsOf(built), [kind], event)
    const [mail] = built.mails
    t.match(mail, { to, from: 'Camelot <no-reply@camelot.example>', language: 'en' }, kind)
    const link = PUBLIC_URL + page
    t.match(mail?.text, link, `${kind}: link in the text`)
    t.match(mail?.html, `href="${link}"`, `${kind}: link in the HTML`)
    t.match(mail?.headers, { 'Auto-Submitted': 'auto-generated', 'Content-Language': 'en' })
  }
})

t.test('VER-10: every mail names the service and the account', async (t) => {
  const built = await buildMailApp(t)
  for (const [kind, { event, payload }] of Object.entries(samples)) {
    built.mails.length = 0
    await built.fire(event, payload as never)
    const [mail] = built.mails
    t.match(mail?.subject, 'Camelot', kind)
    t.match(mail?.text.split('-- ')[0], kind === 'register' ? LANCELOT : ARTHUR, kind)
    t.notMatch(`${mail?.text}${mail?.html}`, /hashed_password|\$argon2|undefined|\[object|NaN/, kind)
  }
})

t.test('a registration sends a verify token, and its link verifies the e-mail by POST only', async (t) => {
  const built = await buildMailApp(t)
  await built.register()
  const mail = await built.mailOf('verify')
  t.equal(mail.to, ARTHUR)
  const token = tokenIn(mail)
  t.equal((await built.send('GET', `/auth/verify?token=${token}`)).statusCode, 404)
  t.equal((await built.app.users.getByEmail(ARTHUR))?.is_verified, false, 'a GET verified nothing')
  t.equal((await built.send('POST', '/auth/verify', { token })).statusCode, 200)
  t.equal((await built.app.users.getByEmail(ARTHUR))?.is_verified, true)
  t.same(kindsOf(built), ['verify'])
})

t.test('a user whom code creates, and a verified one, get no verify token', async (t) => {
  const built = await buildMailApp(t)
  await built.create()
  await built.app.users.settled()
  t.same(kindsOf(built), [])
  const manual = await buildMailApp(t, { requestVerification: false })
  await manual.register()
  await manual.app.users.settled()
  t.same(kindsOf(manual), [])
  t.equal((await manual.send('POST', '/auth/request-verify-token', { email: ARTHUR })).statusCode, 202)
  t.equal((await manual.mailOf('verify')).to, ARTHUR)
})

t.test('a forgotten password is reset with the link, and the owner is notified', async (t) => {
  const built = await buildMailApp(t)
  await built.create({ is_verified: true })
  t.equal((await built.send('POST', '/auth/forgot-password', { email: ARTHUR })).statusCode, 202)
  const mail = await built.mailOf('resetPassword')
  t.match(mail.text, 'valid for 1 hour')
  const reply = await built.send('POST', '/auth/reset-password', { token: tokenIn(mail), password: NEW_PASSWORD })
  t.equal(reply.statusCode, 200)
  t.equal((await built.mailOf('passwordChanged')).to, ARTHUR)
  t.same(kindsOf(built), ['resetPassword', 'passwordChanged'])
  t.notMatch(JSON.stringify(built.mails), NEW_PASSWORD)
})

t.test('a changed password notifies the owner, and other changes do not', async (t) => {
  const built = await buildMailApp(t)
  const { id } = await built.create({ is_verified: true })
  const session = await built.bearer(ARTHUR)
  t.equal((await built.send('PATCH', '/users/me', {}, session)).statusCode, 200)
  await built.app.users.update(id as never, { is_active: true })
  await built.app.users.settled()
  t.same(kindsOf(built), [])
  t.equal((await built.send('PATCH', '/users/me', { password: NEW_PASSWORD }, session)).statusCode, 200)
  t.equal((await built.mailOf('passwordChanged')).to, ARTHUR)
})

t.test('EML-04: a mail goes to the stored e-mail, not to the spelling in the request', async (t) => {
  const built = await buildMailApp(t)
  await built.create({ is_verified: true })
  for (const email of ['KING.ARTHUR@camelot.bt', 'king.arthur@CAMELOT.BT', `  ${ARTHUR} `]) {
    built.mails.length = 0
    t.equal((await built.send('POST', '/auth/forgot-password', { email })).statusCode, 202)
    t.equal((await built.mailOf('resetPassword')).to, ARTHUR, email)
  }
  built.mails.length = 0
  for (const email of ['kıng.arthur@camelot.bt', 'king.arthur@camelot.bt,mordred@camelot.bt', '"king.arthur@camelot.bt" <mordred@camelot.bt>', 'mordred@camelot.bt\r\nBcc: mordred@camelot.bt']) {
    await built.send('POST', '/auth/forgot-password', { email })
    await built.send('POST', '/auth/request-verify-token', { email })
    await built.app.users.settled()
    t.same(built.mails, [], email)
  }
})

t.test('an unknown or inactive e-mail gets no mail, and the replies are equal', async (t) => {
  const built = await buildMailApp(t)
  await built.create({ email: LANCELOT, is_active: false })
  for (const email of [LANCELOT, 'nobody@camelot.bt']) {
    const reply = await built.send('POST', '/auth/forgot-password', { email })
    t.same([reply.statusCode, reply.body], [202, ''])
  }
  await built.app.users.settled()
  t.same(built.mails, [])
})

t.test('CFG-06: hostile headers change no link', async (t) => {
  const built = await buildMailApp(t, {}, {}, { trustProxy: true })
  await built.create({ is_verified: true })
  const headers = {
    host: 'evil.example',
    origin: 'https://evil.example',
    referer: 'https://evil.example/',
    forwarded: 'host=evil.example;proto=http',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'http',
    'x-forwarded-prefix': '/evil',
    'x-original-url': '/evil'
  }
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR }, headers)
  const mail = await built.mailOf('resetPassword')
  t.notMatch(JSON.stringify(mail), 'evil')
  t.match(mail.text, `${PUBLIC_URL}/reset-password#`)
})

t.test('links of `urls` replace the default pages, and the token is encoded', async (t) => {
  const built = await buildMailApp(t, {
    urls: { verify: 'https://www.camelot.example/account?verify={token}&again={token}', login: '/enter' }
  })
  await built.fire('onAfterRequestVerify', { user, email: ARTHUR, token: 'a&b=c#d' })
  const url = 'https://www.camelot.example/account?verify=a%26b%3Dc%23d&again=a%26b%3Dc%23d'
  t.match(built.mails[0]?.text, url)
  t.match(built.mails[0]?.html, `href="${url.replaceAll('&', '&amp;')}"`)
  await built.fire('onAfterRequestVerify', { user, email: LANCELOT, token: TOKEN })
  t.match(built.mails[1]?.text, `https://www.camelot.example/account?verify=${TOKEN}`, 'emailChange follows verify')
  await built.fire('onRegisterExisting', { user, attempt: 'register' })
  t.match(built.mails[2]?.text, `${PUBLIC_URL}/enter`)
})

t.test('EML-09: text of a request reaches a mail only as escaped text of one line', async (t) => {
  const built = await buildMailApp(t)
  const hostile = "<img src=x onerror=alert(1)>\r\nBcc: mordred@camelot.bt\u2028\u202Ehttps://evil.example/'\""
  await built.fire('onNewDevice', { user, backend: 'jwt', method: 'password', ip: hostile, userAgent: hostile })
  t.match(built.mails[0]?.text, 'Device: unknown\nIP address: unknown\n')
  t.notMatch(JSON.stringify(built.mails[0]), /evil|Bcc/)
  await built.fire('onLoginMethodAdded', { user, kind: 'provider', method: hostile })
  const { text = '', html = '', subject = '' } = built.mails[1] ?? {}
  t.notMatch(html, /<img|\u202E/)
  t.match(html, '&lt;img src=x onerror=alert(1)&gt; Bcc: mordred@camelot.bt')
  t.notMatch(text, /^Bcc/m)
  t.notMatch(subject, /[\r\n]/)
  const written = { ...user, email: '<b>a</b>"\'@x.bt' }
  for (const [kind, { event, payload }] of Object.entries(samples)) {
    built.mails.length = 0
    await built.fire(event, { ...payload, user: written } as never)
    t.notMatch(built.mails[0]?.html, '<b>', kind)
  }
})

t.test('EML-09: a subject has no line breaks and at most 200 characters, also that of a template', async (t) => {
  const subject = `Hello\r\nBcc: mordred@camelot.bt\u0000${'😀'.repeat(300)}`
  for (const body of [{ paragraphs: ['Hello'] }, { text: 'Hello', html: '<p>Hello</p>' }]) {
    const built = await buildMailApp(t, { templates: { passwordChanged: () => ({ subject, ...body }) } })
    await built.fire('onAfterResetPassword', { user })
    const sent = built.mails[0]?.subject ?? ''
    t.match(sent, /^Hello Bcc: mordred@camelot\.bt 😀+$/u)
    t.equal([...sent].length, 200)
  }
})

t.test('a failing sender changes no reply, and the log has the error code without e-mails and tokens', async (t) => {
  const log: string[] = []
  const failures: unknown[] = [
    Object.assign(new Error(`550 <${ARTHUR}> unknown; ${TOKEN}`), { code: 'EENVELOPE', responseCode: 550, response: ARTHUR }),
    Object.assign(new TypeError(ARTHUR), { code: `E ${ARTHUR}`, name: ARTHUR, responseCode: TOKEN }),
    ARTHUR,
    null
  ]
  let next: unknown
  const send = (mail: Mail): never => {
    throw next ?? Object.assign(new Error(mail.text), { code: 'ETIMEDOUT' })
  }
  const logger = { level: 'trace', stream: { write: (line: string) => { log.push(line) } } }
  const built = await buildMailApp(t, { send }, {}, { logger })
  const asyncBuilt = await buildMailApp(t, { send: async (mail) => send(mail) }, {}, { logger })
  for (const { app, send: request, create } of [built, asyncBuilt]) {
    await create({ is_verified: true })
    for (const failure of [undefined, ...failures]) {
      next = failure
      log.length = 0
      const reply = await request('POST', '/auth/forgot-password', { email: ARTHUR })
      t.same([reply.statusCode, reply.body], [202, ''])
      await app.users.settled()
      const lines = log.join('')
      t.match(lines, 'a mail could not be sent')
      t.notMatch(lines, new RegExp(`${ARTHUR}|${TOKEN}|reset-password#`))
    }
    log.length = 0
    next = failures[0]
    await request('POST', '/auth/forgot-password', { email: ARTHUR })
    await app.users.settled()
    t.match(JSON.parse(log.find((line) => line.includes('could not be sent')) ?? ''), {
      level: 50,
      mail: 'resetPassword',
      code: 'EENVELOPE',
      responseCode: 550
    })
  }
})

t.test('a slow sender delays no reply', async (t) => {
  const finish: (() => void)[] = []
  const built = await buildMailApp(t, {
    send: async () => {
      await new Promise<void>((resolve) => { finish.push(resolve) })
    }
  })
  await built.create({ is_verified: true })
  for (let sent = 0; sent < 3; sent++) {
    t.equal((await built.send('POST', '/auth/forgot-password', { email: ARTHUR })).statusCode, 202)
    while (finish.length === sent) await new Promise(setImmediate)
  }
  finish.forEach((resolve) => { resolve() })
  await built.app.users.settled()
})

t.test('the time of the sender is limited, and the next mail is sent', async (t) => {
  const log: string[] = []
  const sent: string[] = []
  let isSlow = true
  const built = await buildMailApp(
    t,
    {
      timeoutMs: 1,
      send: ({ kind }) => {
        if (isSlow) return new Promise(() => {})
        sent.push(kind)
        return undefined
      }
    },
    {},
    { logger: { level: 'error', stream: { write: (line: string) => { log.push(line) } } } }
  )
  await built.fire('onAfterResetPassword', { user })
  t.match(log.join(''), 'sending a mail took too long')
  isSlow = false
  await built.fire('onAfterForgotPassword', { user, token: TOKEN })
  t.same(sent, ['resetPassword'])
})

t.test('DEP-07: close() waits for mails in flight', async (t) => {
  const started: (() => void)[] = []
  const sent: string[] = []
  const built = await buildMailApp(t, {
    send: async ({ kind }) => {
      await new Promise<void>((resolve) => { started.push(resolve) })
      sent.push(kind)
    }
  })
  await built.create({ is_verified: true })
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
  while (started.length === 0) await new Promise(setImmediate)
  let isClosed = false
  const closing = built.app.close().then(() => { isClosed = true })
  await new Promise(setImmediate)
  t.notOk(isClosed)
  started[0]?.()
  await closing
  t.same(sent, ['resetPassword'])
})

t.test('at most ten mails are sent at a time, and every mail is sent', async (t) => {
  let running = 0
  let most = 0
  const sent: string[] = []
  const built = await buildMailApp(t, {
    send: async ({ to }) => {
      most = Math.max(most, ++running)
      await new Promise(setImmediate)
      running--
      sent.push(to)
    }
  })
  await Promise.all(Array.from({ length: 50 }, () => built.fire('onAfterResetPassword', { user })))
  t.equal(most, 10)
  t.equal(sent.length, 50)
})

t.test('more than 1010 mails of a sender that does not answer are dropped, and the log says so', async (t) => {
  const dropped: unknown[] = []
  const waiting: (() => void)[] = []
  const sent: string[] = []
  const log = { error: (...line: unknown[]) => { dropped.push(line) } } as unknown as FastifyBaseLogger
  const outbox = createOutbox(
    async ({ to }) => {
      sent.push(to)
      await new Promise<void>((resolve) => { waiting.push(resolve) })
    },
    60_000,
    log
  )
  const mail = { kind: 'verify', to: ARTHUR, text: TOKEN } as Mail
  const delivered = Array.from({ length: 1015 }, () => outbox.deliver(mail))
  while (sent.length < 10) await new Promise(setImmediate)
  t.match(dropped, Array.from({ length: 5 }, () => [{ mail: 'verify', waiting: 1000 }, /too many mails are waiting/]))
  t.notMatch(JSON.stringify(dropped), new RegExp(`${ARTHUR}|${TOKEN}`))
  while (sent.length < 1010 || waiting.length > 0) {
    waiting.splice(0).forEach((resolve) => { resolve() })
    await new Promise(setImmediate)
  }
  await Promise.all(delivered)
  t.equal(sent.length, 1010)
})

t.test('a notice is sent even if a hook of the application fails the request', async (t) => {
  const fail = (): never => {
    throw new Error('no')
  }
  const built = await buildMailApp(t, {}, { hooks: { onAfterUpdate: fail, onAfterForgotPassword: fail } })
  await built.create({ is_verified: true })
  const reply = await built.send('PATCH', '/users/me', { password: NEW_PASSWORD }, await built.bearer(ARTHUR))
  t.equal(reply.statusCode, 500)
  t.equal((await built.mailOf('passwordChanged')).to, ARTHUR)
  await built.send('POST', '/auth/forgot-password', { email: ARTHUR })
  t.equal((await built.mailOf('resetPassword')).to, ARTHUR)
})

t.test('without the option, hooks receive the tokens as before, and with it they do too', async (t) => {
  for (const build of [buildApp, buildMailApp]) {
    const seen: UsersEvents['onAfterForgotPassword'][] = []
    const hooks = { onAfterForgotPassword: (payload: UsersEvents['onAfterForgotPassword']) => { seen.push(payload) } }
    const { create, send, app } = await (build === buildApp ? buildApp(t, { hooks }) : buildMailApp(t, {}, { hooks }))
    await create()
    await send('POST', '/auth/forgot-password', { email: ARTHUR })
    await app.users.settled()
    t.match(seen, [{ user: { email: ARTHUR }, token: /^ey/ }])
  }
})

t.test('with hidden accounts, the owner of a taken e-mail is notified, and the replies are equal', async (t) => {
  const built = await buildMailApp(t, {}, { revealExistingAccounts: false })
  await built.create({ is_verified: true })
  const replies = []
  for (const email of [ARTHUR, LANCELOT]) {
    const { statusCode, body } = await built.send('POST', '/auth/register', { email, password: PASSWORD })
    replies.push({ statusCode, body })
  }
  t.same(replies[0], replies[1])
  t.equal((await built.mailOf('accountExists')).to, ARTHUR)
  t.equal((await built.mailOf('verify')).to, LANCELOT)
  for (const attempt of ['register', 'email-change', 'provider-login'] as const) {
    built.mails.length = 0
    await built.fire('onRegisterExisting', { user, attempt }, NO_REQUEST)
    t.notMatch(built.mails[0]?.text, 'undefined', attempt)
  }
})

t.test('the links of a registration by mail, of an e-mail change and of its undo work by POST', async (t) => {
  const byMail = await buildMailApp(t, {}, { registration: 'mail' })
  t.equal((await byMail.send('POST', '/auth/register', { email: ARTHUR })).statusCode, 202)
  const started = await byMail.mailOf('register')
  t.equal(await byMail.app.users.getByEmail(ARTHUR), null)
  const completed = await byMail.send('POST', '/auth/register/complete', { token: tokenIn(started), password: PASSWORD })
  t.equal(completed.statusCode, 201)
  t.equal((await byMail.app.users.getByEmail(ARTHUR))?.is_verified, true)
  await byMail.send('POST', '/auth/register', { email: ARTHUR })
  t.equal((await byMail.mailOf('accountExists')).to, ARTHUR)
  t.same(kindsOf(byMail), ['register', 'accountExists'])

  const built = await buildMailApp(t, {}, { sensitiveChanges: 'confirm' })
  await built.create({ is_verified: true })
  const change = { email: LANCELOT, current_password: PASSWORD }
  t.equal((await built.send('PATCH', '/users/me', change, await built.bearer(ARTHUR))).statusCode, 200)
  t.equal((await built.mailOf('emailChangeRequested')).to, ARTHUR)
  const confirmation = await built.mailOf('emailChange')
  t.equal(confirmation.to, LANCELOT)
  t.equal((await built.send('POST', '/auth/verify', { token: tokenIn(confirmation) })).statusCode, 200)
  const notice = await built.mailOf('emailChanged')
  t.match(notice, { to: ARTHUR, text: /valid for 7 days/ })
  t.equal((await built.send('POST', '/auth/undo-email-change', { token: tokenIn(notice) })).statusCode, 200)
  t.equal((await built.mailOf('emailChangeUndone')).to, ARTHUR)
  t.equal((await built.mailOf('resetPassword')).to, ARTHUR)
  t.equal(await built.app.users.getByEmail(LANCELOT), null)
})

t.test('a login from a new device notifies the user', async (t) => {
  const built = await buildMailApp(t)
  await built.create({ is_verified: true })
  const logIn = async (userAgent: string): Promise<void> => {
    const reply = await built.app.inject({
      method: 'POST',
      url: '/auth/jwt/login',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'user-agent': userAgent },
      payload: new URLSearchParams({ username: ARTHUR, password: PASSWORD }).toString()
    })
    t.equal(reply.statusCode, 200)
    await built.app.users.settled()
  }
  await logIn('Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0')
  t.same(kindsOf(built), [], 'the first device of a user is not reported')
  await logIn('Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36')
  t.match((await built.mailOf('newDevice')).text, 'Device: Chrome, Windows\nIP address: 127.0.0.1\n')
})
