import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { simpleParser, type ParsedMail } from 'mailparser'
import nodemailer from 'nodemailer'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import t, { type Test } from 'tap'
import { sendWithNodemailer } from '../lib/entries/nodemailer.js'
import { ARTHUR } from './helpers/build-app.js'
import { buildMailApp, LANCELOT, samples, user } from './helpers/mails.js'

interface Received {
  from: string
  to: string[]
  raw: string
  mail: ParsedMail
}

/** Starts an SMTP server on a free port, and returns its URL and what it receives. */
async function startServer (
  t: Test,
  options: SMTPServerOptions = {}
): Promise<{ url: string; received: Received[]; server: SMTPServer }> {
  const received: Received[] = []
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData (stream, { envelope }, done) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => { chunks.push(chunk) })
      stream.on('end', () => {
        const raw = Buffer.concat(chunks).toString('latin1')
        simpleParser(Buffer.concat(chunks)).then((mail) => {
          const from = envelope.mailFrom === false ? '' : envelope.mailFrom.address
          received.push({ from, to: envelope.rcptTo.map(({ address }) => address), raw, mail })
          done()
        }, done)
      })
    },
    ...options
  })
  server.on('error', () => {}) // connections that clients end
  const listening = server.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  t.teardown(() => new Promise<void>((resolve) => { server.close(resolve) }))
  return { url: `smtp://127.0.0.1:${(listening.address() as AddressInfo).port}`, received, server }
}

t.test('nodemailer delivers every kind of mail to a real SMTP server, as text and HTML', async (t) => {
  const { url, received } = await startServer(t)
  const transporter = nodemailer.createTransport(url)
  const built = await buildMailApp(t, { send: sendWithNodemailer(transporter), service: 'Königshof' })
  for (const [kind, { event, payload, to, page }] of Object.entries(samples)) {
    received.length = 0
    await built.fire(event, payload as never)
    t.match(received, [{ from: 'no-reply@camelot.example', to: [to] }], kind)
    const { mail, raw } = received[0] ?? {}
    t.match(mail?.subject, 'Königshof', kind)
    t.match(mail?.text, `https://app.camelot.example/court${page}`, kind)
    t.match(mail?.html, `href="https://app.camelot.example/court${page}"`, kind)
    t.match(mail?.from?.text, 'Camelot', kind)
    t.equal(mail?.headers.get('auto-submitted'), 'auto-generated', kind)
    t.equal(mail?.headers.get('content-language'), 'en', kind)
    t.ok(String(raw).split('\r\n').every((line) => line.length <= 998), `${kind}: RFC 5322, section 2.1.1`)
    t.same(mail?.attachments, [], kind)
  }
})

t.test('EML-09, EML-05: no recipient and no header field is added by an e-mail, a subject or a name', async (t) => {
  const { url, received } = await startServer(t)
  const transporter = nodemailer.createTransport(url)
  const built = await buildMailApp(t, {
    send: sendWithNodemailer(transporter),
    templates: { passwordChanged: ({ user: { email } }) => ({ subject: `Hello ${email}\r\nBcc: mordred@camelot.bt`, text: 'a', html: 'a' }) }
  })
  for (const email of [
    'a@x.bt, mordred@camelot.bt',
    '"a@x.bt mordred@camelot.bt"@camelot.bt',
    'a@x.bt>\r\nRCPT TO:<mordred@camelot.bt',
    'a@x.bt\r\nBcc: mordred@camelot.bt',
    '<mordred@camelot.bt> a@x.bt',
    'Mordred <mordred@camelot.bt>'
  ]) {
    await built.fire('onAfterResetPassword', { user: { ...user, email } })
    for (const { to, raw } of received) {
      t.notMatch(to, ['mordred@camelot.bt'], email)
      t.notMatch(raw, /^Bcc:/im, email)
    }
  }
  await built.fire('onAfterResetPassword', { user })
  const { to, mail } = received.at(-1) ?? {}
  t.same(to, [ARTHUR])
  t.equal(mail?.subject, `Hello ${ARTHUR} Bcc: mordred@camelot.bt`)
  t.equal(mail?.headers.get('bcc'), undefined)
})

t.test('a refusal of the SMTP server, and a server that is down, change no reply', async (t) => {
  const log: string[] = []
  const logger = { level: 'error', stream: { write: (line: string) => { log.push(line) } } }
  const { url, received, server } = await startServer(t, {
    onRcptTo ({ address }, _session, done) {
      done(address === ARTHUR ? Object.assign(new Error(`no mailbox ${ARTHUR}`), { responseCode: 550 }) : null)
    }
  })
  const transporter = nodemailer.createTransport(url)
  const built = await buildMailApp(t, { send: sendWithNodemailer(transporter) }, {}, { logger })
  await built.create({ is_verified: true })
  await built.create({ email: LANCELOT, is_verified: true })
  const ask = async (email: string): Promise<number> => {
    const { statusCode } = await built.send('POST', '/auth/forgot-password', { email })
    await built.app.users.settled()
    return statusCode
  }
  t.equal(await ask(ARTHUR), 202)
  t.match(JSON.parse(log[0] ?? ''), { mail: 'resetPassword', code: 'EENVELOPE', responseCode: 550 })
  t.equal(await ask(LANCELOT), 202)
  t.match(received, [{ to: [LANCELOT] }], 'the next mail is delivered')
  await new Promise<void>((resolve) => { server.close(resolve) })
  t.equal(await ask(LANCELOT), 202)
  t.match(JSON.parse(log.at(-1) ?? ''), { mail: 'resetPassword', code: /^E/ })
  t.notMatch(log.join(''), /camelot\.bt|reset-password#/)
})

t.test('mails of a pool of connections are delivered before the application closes', async (t) => {
  const { url, received } = await startServer(t)
  const transporter = nodemailer.createTransport({ url, pool: true, maxConnections: 2 })
  const built = await buildMailApp(t, { send: sendWithNodemailer(transporter) })
  await built.create({ is_verified: true })
  await Promise.all(Array.from({ length: 20 }, () => built.send('POST', '/auth/forgot-password', { email: ARTHUR })))
  await built.app.close()
  transporter.close()
  t.equal(received.length, 20)
})
