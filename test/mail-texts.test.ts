import t from 'tap'
import { english, escapeHtml, german } from '../lib/entries/mail.js'
import { Type, userSchemas, type MailContent, type MailLanguage, type MailRecipient } from '../lib/index.js'
import { mailKinds } from '../lib/mail/mail-options.js'
import { createContext } from '../lib/mail/render.js'
import { ARTHUR } from './helpers/build-app.js'
import { buildMailApp, LANCELOT, NO_REQUEST, samples, user } from './helpers/mails.js'

const languages: Record<string, MailLanguage> = { en: english, de: german }

/** Data with a value for every property that a text may read. */
const data = {
  user,
  email: LANCELOT,
  newEmail: LANCELOT,
  previousEmail: LANCELOT,
  undoneEmail: LANCELOT,
  url: 'https://app.example.com/page',
  undoUrl: 'https://app.example.com/undo',
  resetUrl: 'https://app.example.com/reset',
  lifetimeSeconds: 7 * 86_400,
  failures: 100,
  remaining: 2,
  attempt: 'register',
  device: 'Firefox, Linux',
  ip: '203.0.113.7',
  time: new Date(Date.UTC(2026, 0, 2, 3, 4)),
  deletesAt: new Date(Date.UTC(2026, 0, 2, 3, 4)),
  method: 'google',
  code: '7KQ2-M4XP'
}

t.test('every language has a text for every kind of mail, which names the service and has a link', async (t) => {
  for (const [tag, texts] of Object.entries(languages)) {
    t.same(Object.keys(texts).sort(), ['frame', ...mailKinds].sort(), tag)
    for (const kind of mailKinds) {
      const text = texts[kind] as (given: typeof data, context: ReturnType<typeof createContext>) => MailContent
      const content = text(data, createContext('Camelot', tag))
      const all = JSON.stringify(content)
      t.match(content.subject, 'Camelot', `${tag} ${kind}: the service`)
      t.ok(content.subject.length <= 100, `${tag} ${kind}: ${content.subject.length} characters`)
      t.match(content.action, { label: /\S/, url: /^https:/ }, `${tag} ${kind}: a link`)
      t.notMatch(all, /undefined|null|NaN|\$\{/, `${tag} ${kind}`)
    }
  }
})

t.test('the languages tell the same values', async (t) => {
  const valuesIn = (content: MailContent, tag: string): string[] => {
    const { duration, time } = createContext('Camelot', tag)
    const { attempt: _, ...told } = data
    const times = { time: time(data.time), deletesAt: time(data.deletesAt) }
    const values = { ...told, user: ARTHUR, lifetimeSeconds: duration(data.lifetimeSeconds), ...times }
    return Object.entries(values)
      .filter(([, value]) => JSON.stringify(content).includes(value as string))
      .map(([name]) => name)
  }
  for (const kind of mailKinds) {
    const found = Object.entries(languages).map(([tag, texts]) => {
      const text = texts[kind] as (given: typeof data, context: ReturnType<typeof createContext>) => MailContent
      const { paragraphs, details = [], notes = [] } = text(data, createContext('Camelot', tag))
      return [
        valuesIn(text(data, createContext('Camelot', tag)), tag),
        paragraphs.length,
        details.length,
        notes.length
      ]
    })
    t.same(found[0], found[1], kind)
    t.ok((found[0]?.[0] as string[]).length >= 2, `${kind}: ${String(found[0]?.[0])}`)
  }
})

t.test('a change that cannot be undone has no link', async (t) => {
  const built = await buildMailApp(t)
  await built.fire('onAfterEmailChange', { user, previousEmail: LANCELOT, token: null })
  t.match(built.mails, [{ kind: 'emailChanged', to: LANCELOT }])
  t.notMatch(built.mails[0]?.text, 'https:')
  t.notMatch(built.mails[0]?.html, '<a ')
})

t.test('durations and times are texts of the language', async (t) => {
  const durations = [60, 90, 3600, 7200, 5400, 86_400, 604_800, 1]
  const { duration, time } = createContext('Camelot', 'en')
  t.same(durations.map(duration), ['1 minute', '1 minute', '1 hour', '2 hours', '90 minutes', '1 day', '7 days', '1 minute'])
  const german = createContext('Camelot', 'de')
  t.same([3600, 604_800].map(german.duration), ['1 Stunde', '7 Tage'])
  t.match(time(data.time), /January 2, 2026.*3:04\sAM UTC$/)
  t.match(german.time(data.time), /^2\. Januar 2026.*03:04 UTC$/)
})

t.test('a device is described by known names only', async (t) => {
  const table: [string | null, string][] = [
    ['Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36', 'Chrome, Windows'],
    ['Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36 Edg/130.0', 'Edge, Windows'],
    ['Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 (KHTML, like Gecko) Version/18.0 Safari/604.1', 'Safari, iPhone'],
    ['Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:130.0) Gecko/20100101 Firefox/130.0', 'Firefox, macOS'],
    ['Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36', 'Chrome, Android'],
    ['curl/8.5.0', 'unknown'],
    ['See https://evil.example Firefox', 'unknown'],
    ['', 'unknown'],
    [null, 'unknown']
  ]
  for (const [userAgent, device] of table) {
    const built = await buildMailApp(t)
    await built.fire('onNewDevice', { user, backend: 'jwt', method: 'password', ip: '2001:db8::1', userAgent })
    t.match(built.mails[0]?.text, `Device: ${device}\nIP address: 2001:db8::1\n`, String(userAgent))
  }
})

t.test('the language is that of a field, of a function, or the default', async (t) => {
  const schemas = userSchemas({ locale: Type.String({ default: 'en' }) })
  const field = await buildMailApp(t, { languageOf: 'locale' as never }, { schemas })
  for (const [locale, language] of Object.entries({ de: 'de', 'de-AT': 'de', DE_ch: 'de', en: 'en', fr: 'en', '': 'en', __proto__x: 'en', constructor: 'en' })) {
    field.mails.length = 0
    await field.fire('onAfterResetPassword', { user: { ...user, locale } as never })
    t.match(field.mails, [{ language, headers: { 'Content-Language': language } }], locale)
    t.match(field.mails[0]?.html, `<html lang="${language}" dir="ltr">`)
  }
  const recipients: MailRecipient[] = []
  const chosen = await buildMailApp(t, {
    language: 'de',
    languageOf: async (recipient) => {
      recipients.push(recipient)
      return recipient.request?.headers['accept-language']?.split(',')[0]
    }
  })
  await chosen.send('POST', '/auth/register', { email: ARTHUR, password: 'guinevere-1' }, { 'accept-language': 'en-GB,en;q=0.5' })
  t.equal((await chosen.mailOf('verify')).language, 'en')
  t.match(recipients, [{ user: { email: ARTHUR }, email: ARTHUR, kind: 'verify' }])
  await chosen.fire('onAfterRequestRegister', { email: LANCELOT, token: 'x' })
  t.match(recipients[1], { user: null, email: LANCELOT, kind: 'register', request: null })
  t.equal((await chosen.mailOf('register')).language, 'de', 'no language was chosen')
})

t.test('an error of languageOf or of a template loses no mail, and is logged', async (t) => {
  const log: string[] = []
  const fail = (): never => {
    throw new Error('canary')
  }
  const built = await buildMailApp(
    t,
    { languageOf: fail, templates: { passwordChanged: fail, verify: (() => 'Hello') as never } },
    {},
    { logger: { level: 'error', stream: { write: (line: string) => { log.push(line) } } } }
  )
  await built.fire('onAfterResetPassword', { user })
  t.match(built.mails, [{ kind: 'passwordChanged', subject: 'Your password for Camelot has changed' }])
  t.match(log.join(''), /mail\.languageOf failed.*a mail template failed/s)
  await built.fire('onAfterRequestVerify', { user, email: ARTHUR, token: 'x' })
  t.match(built.mails[1], { kind: 'verify', subject: 'Confirm your e-mail for Camelot' })
  t.match(log.join(''), /returned neither a content nor a mail/)
})

t.test('an application replaces templates, switches mails off and adds a language', async (t) => {
  const french: MailLanguage = {
    ...english,
    frame: { direction: 'rtl', linkHint: 'Copiez ce lien :', footer: ({ service }) => `De ${service}.` },
    resetPassword: ({ url }) => ({ subject: 'Mot de passe', paragraphs: ['<Bonjour>'], action: { label: 'Choisir', url } })
  }
  const built = await buildMailApp(t, {
    languages: { fr: french },
    language: 'fr',
    templates: {
      passwordChanged: ({ user: { email }, url }, { language, service }) => ({
        subject: `${service} ${language}`,
        text: email,
        html: `<b>${escapeHtml(email)}</b> ${escapeHtml(url)}`
      }),
      emailChangeUndone: async () => ({ subject: 'Undone', paragraphs: ['Done & undone'] }),
      newDevice: false,
      accountExists: () => null
    }
  })
  await built.fire('onAfterForgotPassword', { user, token: 'x' })
  t.match(built.mails[0], { subject: 'Mot de passe', language: 'fr', text: /<Bonjour>.*De Camelot\./s })
  t.match(built.mails[0]?.html, /dir="rtl".*&lt;Bonjour&gt;.*Copiez ce lien :.*De Camelot\./s)
  await built.fire('onAfterResetPassword', { user: { ...user, email: "o'neill@x.bt" } })
  t.match(built.mails[1], { subject: 'Camelot fr', text: "o'neill@x.bt", html: /^<b>o&#39;neill@x\.bt<\/b> https/ })
  await built.fire('onAfterUndoEmailChange', { user, undoneEmail: LANCELOT })
  t.match(built.mails[2], { subject: 'Undone', html: /Done &amp; undone/ })
  const { event, payload } = samples.newDevice
  await built.fire(event, payload as never, NO_REQUEST)
  await built.fire('onRegisterExisting', { user, attempt: 'register' })
  t.equal(built.mails.length, 3)
})

t.test('the HTML is a document without scripts, images, forms and remote content', async (t) => {
  const built = await buildMailApp(t)
  for (const [kind, { event, payload }] of Object.entries(samples)) {
    built.mails.length = 0
    await built.fire(event, payload as never)
    const html = built.mails[0]?.html ?? ''
    t.match(html, /^<!doctype html>\n<html lang="en" dir="ltr">.*<title>[^<]+<\/title>.*<h1.*<\/html>\n$/s, kind)
    t.notMatch(html, /<(?:script|img|link|form|iframe|object|svg|video|base)\b|\son\w+=|url\(|@import|src=/i, kind)
    t.match(html, 'prefers-color-scheme:dark', kind)
    const urls = [...html.matchAll(/https?:\/\/[^\s"<]+/g)].map(([url]) => new URL(url).host)
    t.same([...new Set(urls)], ['app.camelot.example'], `${kind}: links lead to the application only`)
    t.ok(Buffer.byteLength(html) < 20_000, `${kind}: mail programs cut long mails`)
  }
})
