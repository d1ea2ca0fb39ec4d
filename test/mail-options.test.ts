import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { account } from '../lib/features/account/index.js'
import { emailLogin } from '../lib/features/email-login/index.js'
import { english } from '../lib/entries/mail.js'
import { memory } from '../lib/entries/memory.js'
import users, { Type, userSchemas, type UsersError, type UsersOptions } from '../lib/index.js'
import { backends, fastPasswords, SECRET } from './helpers/build-app.js'
import { PUBLIC_URL } from './helpers/mails.js'

const INVALID = 'FST_USERS_INVALID_OPTION'
const UNKNOWN = 'FST_USERS_UNKNOWN_OPTION'
const valid = { send: async () => {}, from: 'Camelot <no-reply@camelot.example>' }

async function startError (
  t: Test,
  mail: unknown,
  options: Partial<UsersOptions> = { publicUrl: PUBLIC_URL }
): Promise<Partial<UsersError>> {
  const app = Fastify()
  t.teardown(() => app.close())
  const all = {
    adapter: memory(),
    secret: SECRET,
    backends: backends(),
    passwords: fastPasswords,
    schemas: userSchemas({ locale: Type.String({ default: 'en' }) }),
    ...options,
    mail
  } as UsersOptions
  const start = async (): Promise<void> => {
    await app.register(users, all)
    await app.ready()
  }
  return await start().then(
    () => ({}),
    (error: unknown) => error as UsersError
  )
}

t.test('wrong options of mail refuse to start with a coded error that names the option', async (t) => {
  const table: [string, unknown, string, string][] = [
    ['text', 'smtp://localhost', INVALID, 'mail'],
    ['null', null, INVALID, 'mail'],
    ['a function', async () => {}, INVALID, 'mail'],
    ['an unknown key', { ...valid, sender: 'a@b.c' }, UNKNOWN, 'mail.sender'],
    ['no function to send', { from: valid.from }, INVALID, 'mail.send'],
    ['a transporter', { ...valid, send: { sendMail () {} } }, INVALID, 'mail.send'],
    ['no sender', { send: valid.send }, INVALID, 'mail.from'],
    ['a name as the sender', { ...valid, from: 'Camelot' }, INVALID, 'mail.from'],
    ['two senders', { ...valid, from: 'a@b.example, c@d.example' }, INVALID, 'mail.from'],
    ['two senders in brackets', { ...valid, from: '<a@b.example>, <c@d.example>' }, INVALID, 'mail.from'],
    ['a sender with a line break', { ...valid, from: 'Camelot\r\nBcc: a@b.c <a@b.c>' }, INVALID, 'mail.from'],
    ['an empty service', { ...valid, service: '' }, INVALID, 'mail.service'],
    ['a service of two lines', { ...valid, service: 'Camelot\nBritain' }, INVALID, 'mail.service'],
    ['an unknown page', { ...valid, urls: { admin: '/admin' } }, UNKNOWN, 'mail.urls.admin'],
    ['a page without a token', { ...valid, urls: { verify: '/verify' } }, INVALID, 'mail.urls.verify'],
    ['a token in the path', { ...valid, urls: { verify: '/verify/{token}' } }, INVALID, 'mail.urls.verify'],
    ['a token as the host', { ...valid, urls: { verify: 'https://{token}/#{token}' } }, INVALID, 'mail.urls.verify'],
    ['a token for the login page', { ...valid, urls: { login: '/login#{token}' } }, INVALID, 'mail.urls.login'],
    ['a script', { ...valid, urls: { login: 'javascript:alert(1)' } }, INVALID, 'mail.urls.login'],
    ['another host', { ...valid, urls: { login: '//evil.example' } }, INVALID, 'mail.urls.login'],
    ['a number', { ...valid, urls: { login: 1 } }, INVALID, 'mail.urls.login'],
    ['an unknown language', { ...valid, language: 'fr' }, INVALID, 'mail.language'],
    ['a malformed tag', { ...valid, languages: { 'not a tag': english } }, INVALID, 'mail.languages["not a tag"]'],
    ['a field that users do not have', { ...valid, languageOf: 'tongue' }, INVALID, 'mail.languageOf'],
    ['a number as the choice of the language', { ...valid, languageOf: 1 }, INVALID, 'mail.languageOf'],
    ['an unknown template', { ...valid, templates: { welcome: false } }, UNKNOWN, 'mail.templates.welcome'],
    ['a template that is text', { ...valid, templates: { verify: 'Hello' } }, INVALID, 'mail.templates.verify'],
    ['text for a boolean', { ...valid, requestVerification: 'yes' }, INVALID, 'mail.requestVerification'],
    ['no time', { ...valid, timeoutMs: 0 }, INVALID, 'mail.timeoutMs']
  ]
  for (const [what, mail, code, option] of table) {
    const error = await startError(t, mail)
    t.equal(error.code, code, what)
    t.match(error.message, option, what)
  }
})

t.test('a missing text of a language stops the start, and the message names it', async (t) => {
  const { verify: _, frame: __, ...incomplete } = english
  const error = await startError(t, { ...valid, languages: { fr: incomplete } })
  t.equal(error.code, INVALID)
  t.match(error.message, 'mail.languages["fr"]')
  t.match(error.message, 'lacks frame, verify')
})

t.test('links need publicUrl or absolute URLs, and the service needs a name', async (t) => {
  const without = await startError(t, valid, {})
  t.equal(without.code, INVALID)
  t.match(without.message, 'publicUrl')
  const site = 'https://www.camelot.example'
  const urls = {
    verify: `${site}/verify#{token}`,
    resetPassword: `${site}/reset?token={token}`,
    register: `${site}/register#{token}`,
    undoEmailChange: `${site}/undo#{token}`,
    login: `${site}/login`,
    forgotPassword: `${site}/forgot`
  }
  t.match(await startError(t, { ...valid, urls }, {}), { code: INVALID, message: /mail\.service/ })
  t.same(await startError(t, { ...valid, urls, service: 'Camelot' }, {}), {})
  // pages to which only mails of a feature link need a URL if the feature is listed
  const features = [emailLogin(), account({ deletionDelaySeconds: 60 })]
  t.match(await startError(t, { ...valid, urls, service: 'Camelot' }, { features }), { code: INVALID, message: 'mail.urls.' })
  const all = { ...urls, emailLogin: `${site}/email#{token}`, undoDeletion: `${site}/keep#{token}` }
  t.same(await startError(t, { ...valid, urls: all, service: 'Camelot' }, { features }), {})
  t.match(await startError(t, { ...valid, urls: { ...all, emailLogin: '/email' }, service: 'Camelot' }, {}), {
    code: INVALID,
    message: 'mail.urls.emailLogin'
  })
})

t.test('valid options of mail start', async (t) => {
  for (const mail of [
    undefined,
    valid,
    { ...valid, from: 'no-reply@camelot.example' },
    { ...valid, from: '"King, Arthur" <no-reply@camelot.example>' },
    { ...valid, languageOf: 'locale', language: 'de', timeoutMs: 1, templates: { verify: undefined, newDevice: false } },
    { ...valid, languages: { 'pt-BR': english }, language: 'pt-br' }
  ]) {
    t.same(await startError(t, mail), {})
  }
})

t.test("CFG-08: mail: 'console' is a warning during development and refuses to start in production", async (t) => {
  const { NODE_ENV } = process.env
  t.teardown(() => {
    if (NODE_ENV === undefined) delete process.env.NODE_ENV
    else process.env.NODE_ENV = NODE_ENV
  })
  for (const mail of ['console', { send: 'console' }]) {
    process.env.NODE_ENV = 'development'
    t.same(await startError(t, mail, {}), {})
    process.env.NODE_ENV = 'production'
    const error = await startError(t, mail, { passwords: undefined as never })
    t.equal(error.code, INVALID)
    t.match(error.message, /mail\.send.*NODE_ENV is production/)
  }
})
