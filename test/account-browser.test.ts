import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Locator, Page, Request } from 'playwright-core'
import t, { type Test } from 'tap'
import { addAccountPage } from '../examples/basic/account-page.js'
import { addPages } from '../examples/basic/pages.js'
import { addPasskeyPage } from '../examples/basic/passkey-page.js'
import { addStepUpScript } from '../examples/basic/step-up.js'
import { addTotpPage } from '../examples/basic/totp-page.js'
import { account } from '../lib/features/account/index.js'
import { passkeys } from '../lib/features/passkeys/index.js'
import { recoveryCodes } from '../lib/features/recovery-codes/index.js'
import { totp } from '../lib/features/totp/index.js'
import type { Mail, MailKind } from '../lib/index.js'
import { manualClock, type ManualClock } from '../lib/testing/index.js'
import { ARTHUR, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { openPage, skipWithoutChromium, type OpenedPage } from './helpers/chromium.js'
import { freePort } from './helpers/free-port.js'
import { oneTimePassword } from './helpers/one-time-password.js'
import { root } from './helpers/root.js'
import { addAuthenticator, type VirtualAuthenticator } from './helpers/virtual-authenticator.js'

const LANCELOT = 'lancelot@camelot.bt'
const GALAHAD = 'galahad@camelot.bt'
const PICTURE = join(root, 'docs/step-up.png')
const NARROW = { width: 320, height: 640 }
/** Seconds after which a session is no longer recent. */
const STALE = 301

interface Opened extends OpenedPage {
  built: TestApp
  clock: ManualClock
  authenticator: VirtualAuthenticator
  dialog: Locator
  status: Locator
  /** Opens a page of the application. */
  go(path: string): Promise<void>
  press(name: string, where?: Page | Locator): Promise<void>
  /** Asks for a new e-mail on the page of the account. */
  askForEmail(email: string): Promise<void>
  /** Opens the page to which the newest mail of this kind links, and presses its button. */
  followMail(kind: MailKind): Promise<void>
  /** Returns the methods of the newest reauthentication. */
  methods(): unknown
}

async function open (t: Test, viewport = NARROW): Promise<Opened> {
  const port = await freePort() // `publicUrl` has it before the application listens
  const origin = `http://localhost:${port}`
  const clock = manualClock()
  const mails: Mail[] = []
  const built = await buildApp(t, {
    clock,
    publicUrl: origin,
    sensitiveChanges: 'confirm',
    mail: { from: 'no-reply@camelot.bt', send: (mail) => { mails.push(mail) } },
    features: [
      totp({ issuer: 'Camelot' }),
      recoveryCodes(),
      passkeys({ rpName: 'Camelot', signUp: true }),
      account({ deletionDelaySeconds: 30 * 86_400 })
    ]
  }, (app) => {
    for (const add of [addPages, addStepUpScript, addAccountPage, addTotpPage, addPasskeyPage]) add(app)
  })
  await built.app.listen({ host: 'localhost', port })
  await built.create({ is_verified: true })
  const opened = await openPage(t, viewport)
  const { page, context } = opened
  // a ceremony that waits for the input would answer before those that the buttons begin
  await context.addInitScript(() => {
    PublicKeyCredential.isConditionalMediationAvailable = async () => false
  })
  const authenticator = await addAuthenticator(opened)
  await authenticator.answers(true)
  const go: Opened['go'] = async (path) => { await page.goto(`${origin}${path}`) }
  const press: Opened['press'] = async (name, where = page) => {
    await where.getByRole('button', { name, exact: true }).click()
  }
  return {
    ...opened,
    built,
    clock,
    authenticator,
    go,
    press,
    dialog: page.getByRole('dialog', { name: 'Confirm that it is you' }),
    status: page.getByRole('status'),
    async askForEmail (email) {
      await page.getByLabel('New e-mail').fill(email)
      await press('Change the e-mail')
    },
    async followMail (kind) {
      await built.app.users.settled()
      const mail = mails.findLast((sent) => sent.kind === kind)
      const [path] = /\/[\w-]+#\S+/.exec(mail?.text ?? '') ?? [`no mail ${kind}`]
      await go(path)
      await page.getByRole('button').click()
      await page.getByText('Done.').waitFor()
    },
    methods () {
      const event = built.events.findLast(({ name }) => name === 'onAfterReauthenticate')
      return (event as { session?: { methods: unknown } } | undefined)?.session?.methods
    }
  }
}

/** Sends the e-mail and the password with the form of a page. */
async function enterPassword ({ page, press }: Opened): Promise<void> {
  await page.getByLabel('E-mail').fill(ARTHUR)
  await page.getByLabel('Password').fill(PASSWORD)
  await press('Log in')
}

/** Logs in with the password, and opens the page of the account. */
async function logIn (opened: Opened): Promise<void> {
  const { page, go } = opened
  await go('/login')
  await enterPassword(opened)
  await page.getByText('Done.').waitFor()
  await page.getByRole('link', { name: 'Your account' }).click()
  await page.getByText(`You are ${ARTHUR}`).waitFor()
}

/** Adds an authenticator app, in an old session after a confirmation. Returns its secret; its code is used up. */
async function addApp ({ page, clock, dialog, go, press }: Opened, { isOld = false } = {}): Promise<string> {
  await go('/authenticator-app')
  if (isOld) clock.tick(STALE)
  await press('Continue')
  if (isOld) await dialog.getByLabel('Password').fill(PASSWORD)
  if (isOld) await press('Confirm', dialog)
  const url = new URL(await page.locator('img').getAttribute('alt') ?? '')
  const secret = url.searchParams.get('secret') ?? ''
  await page.getByLabel('Code of your app').fill(oneTimePassword(secret, clock()))
  await press('Continue')
  await page.getByText('Keep these recovery codes').waitFor()
  clock.tick(30)
  return secret
}

/** Returns a code that the app does not show near this time. */
function wrongCode (secret: string, now: number): string {
  const codes = [-60_000, -30_000, 0, 30_000, 60_000].map((time) => oneTimePassword(secret, now + time))
  return ['111111', '222222', '333333', '444444', '555555', '666666'].find((code) => !codes.includes(code)) ?? ''
}

/** Returns the width by which the page is wider than the window. */
const overflowOf = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)

/** Returns the label of the input or the text of the button that has the focus. */
const focusOf = (page: Page): Promise<string> => page.evaluate(() => {
  const element = document.activeElement
  const [label] = element instanceof HTMLInputElement ? element.labels ?? [] : []
  return (label ?? element)?.textContent?.trim() ?? ''
})

t.test('VER-05: in an old session, a new e-mail needs the password again, and then takes effect', { skip: skipWithoutChromium() }, async (t) => {
  const opened = await open(t)
  const { built, clock, page, dialog, status, press, askForEmail, faults } = opened
  await logIn(opened)
  clock.tick(STALE)
  await askForEmail(LANCELOT)
  await dialog.waitFor()
  t.equal(await focusOf(page), 'Password')
  t.equal(await overflowOf(page), 0, 'the dialog fits into a narrow window')
  t.equal(await dialog.getByLabel('Code').isVisible(), false)
  t.equal(await dialog.getByRole('button', { name: 'Use a passkey' }).isVisible(), false)

  await dialog.getByLabel('Password').fill('excalibur-9')
  await press('Confirm', dialog)
  await dialog.getByRole('alert').getByText('wrong').waitFor()
  await page.keyboard.press('Escape')
  await status.getByText('nothing has changed').waitFor()
  t.equal(await dialog.count(), 0)
  t.equal(await focusOf(page), 'Change the e-mail', 'the focus returns')
  t.equal(built.events.some(({ name }) => name === 'onAfterRequestVerify'), false)

  await press('Change the e-mail')
  await dialog.getByLabel('Password').fill(PASSWORD)
  await page.keyboard.press('Enter')
  await status.getByText(`A mail was sent to ${LANCELOT}`).waitFor()
  t.same(opened.methods(), ['password'])
  t.equal(await overflowOf(page), 0, 'the page fits into a narrow window')
  await opened.followMail('emailChange')
  t.ok(await built.app.users.getByEmail(LANCELOT))
  t.same(faults, ['401', '400', '400', '401', '400'], 'the browser reports only the refusals')
})

t.test('a user with an authenticator app confirms with the password and a code, in a recent session with the code', { skip: skipWithoutChromium() }, async (t) => {
  const opened = await open(t)
  const { clock, page, dialog, status, go, press, askForEmail, faults } = opened
  await logIn(opened)
  const secret = await addApp(opened)
  const code = dialog.getByLabel('Code of your app')
  const password = dialog.getByLabel('Password')
  await go('/account')
  await askForEmail(LANCELOT)
  await code.waitFor()
  t.equal(await password.isVisible(), false, 'the login was a moment ago')
  await code.fill(wrongCode(secret, clock()))
  await press('Confirm', dialog)
  await dialog.getByText('The code is wrong').waitFor()
  t.equal(await overflowOf(page), 0)
  await code.fill(oneTimePassword(secret, clock()))
  await press('Confirm', dialog)
  await status.getByText(`A mail was sent to ${LANCELOT}`).waitFor()
  t.same(opened.methods(), ['password', 'otp'])

  clock.tick(STALE)
  await askForEmail(LANCELOT)
  await password.fill(PASSWORD)
  t.equal(await code.isVisible(), false)
  await press('Confirm', dialog)
  await code.waitFor()
  t.equal(await focusOf(page), 'Code of your app, or a recovery code')
  await code.fill(oneTimePassword(secret, clock()))
  await press('Confirm', dialog)
  await status.getByText(`A mail was sent to ${LANCELOT}`).waitFor()
  t.same(opened.methods(), ['password', 'otp'])

  const recovery = await page.evaluate("fetch('/users/me/recovery-codes', { method: 'POST' }).then((reply) => reply.json())")
  const { codes: [first = '', second = ''] } = recovery as { codes: string[] }
  clock.tick(STALE)
  await askForEmail(LANCELOT)
  await password.fill(PASSWORD)
  await press('Confirm', dialog)
  await code.fill(first)
  await press('Confirm', dialog)
  await status.getByText(`A mail was sent to ${LANCELOT}`).waitFor()
  t.same(opened.methods(), ['password', 'recovery-code'])

  await press('Log out')
  await go('/passkeys')
  await enterPassword(opened)
  await status.getByText('Log in at /login').waitFor()
  await go('/login')
  await enterPassword(opened)
  await page.getByLabel('Code of your app').fill(second)
  await press('Log in')
  await page.getByText('Done.').waitFor()
  const remaining = await page.evaluate("fetch('/users/me/recovery-codes').then((reply) => reply.json())")
  t.match(remaining, { remaining: 8 })
  t.ok(faults.every((fault) => /^40[013]$/.test(fault)), faults.join())
})

t.test('a wrong code five times asks for the password again', { skip: skipWithoutChromium() }, async (t) => {
  const opened = await open(t)
  const { clock, dialog, status, go, press, askForEmail } = opened
  await logIn(opened)
  const secret = await addApp(opened, { isOld: true })
  clock.tick(STALE)
  await go('/account')
  await askForEmail(LANCELOT)
  const password = dialog.getByLabel('Password')
  const code = dialog.getByLabel('Code of your app')
  await password.fill(PASSWORD)
  await press('Confirm', dialog)
  await code.waitFor()
  for (let n = 0; n < 5; n++) {
    await code.fill(wrongCode(secret, clock()))
    await press('Confirm', dialog)
    await dialog.getByText('The code is wrong').waitFor()
  }
  await press('Confirm', dialog)
  await password.fill(PASSWORD)
  await press('Confirm', dialog)
  await code.fill(oneTimePassword(secret, clock()))
  await press('Confirm', dialog)
  await status.getByText(`A mail was sent to ${LANCELOT}`).waitFor()
  t.same(opened.methods(), ['password', 'otp'])
})

t.test('a user with a passkey confirms with it alone, or with the password and the passkey', { skip: skipWithoutChromium() }, async (t) => {
  const opened = await open(t, { width: 560, height: 560 })
  const { clock, page, dialog, status, go, press, askForEmail, authenticator, faults } = opened
  await logIn(opened)
  await go('/passkeys')
  clock.tick(STALE)
  await press('Add a passkey')
  await dialog.getByLabel('Password').fill(PASSWORD)
  await press('Confirm', dialog)
  await page.locator('#passkeys li').waitFor()
  t.equal(await authenticator.count(), 1)

  await go('/account')
  clock.tick(STALE)
  await askForEmail(LANCELOT)
  await dialog.waitFor()
  if (process.env['UPDATE_SCREENSHOT'] === '1') await page.screenshot({ path: PICTURE })
  t.equal(await dialog.getByLabel('Code').isVisible(), false)
  await press('Use a passkey', dialog)
  await status.getByText(`A mail was sent to ${LANCELOT}`).waitFor()
  t.same(opened.methods(), ['passkey'], 'no password is needed')

  clock.tick(STALE)
  await askForEmail(LANCELOT)
  await dialog.getByLabel('Password').fill(PASSWORD)
  await press('Confirm', dialog)
  await dialog.getByLabel('Password').waitFor({ state: 'hidden' })
  t.equal(await focusOf(page), 'Use a passkey')
  t.equal(await dialog.getByRole('button', { name: 'Confirm' }).isVisible(), false, 'only the passkey is left')
  await press('Use a passkey', dialog)
  await status.getByText(`A mail was sent to ${LANCELOT}`).waitFor()
  t.same(opened.methods(), ['password', 'passkey'])

  await press('Log out')
  await page.getByText('You are logged out.').waitFor()
  await go('/login')
  await enterPassword(opened)
  await page.getByRole('link', { name: 'Log in with your passkey' }).click()
  await press('Log in with a passkey')
  await page.getByText(`You are ${ARTHUR}`).waitFor()
  t.ok(faults.every((fault) => /^40[013]$/.test(fault)), faults.join())
})

t.test('PK-03: a user without a password confirms with a passkey that verifies the user', { skip: skipWithoutChromium() }, async (t) => {
  const opened = await open(t)
  const { built, clock, page, dialog, status, go, press, askForEmail, authenticator, faults } = opened
  await go('/passkeys')
  await page.getByLabel('E-mail').fill(GALAHAD)
  await press('Register with a passkey')
  await page.getByText(`You are ${GALAHAD}`).waitFor()
  await page.getByRole('link', { name: 'Your account' }).click()
  await press('Send a mail to verify it')
  await status.getByText(`A mail was sent to ${GALAHAD}`).waitFor()
  clock.tick(STALE)
  await askForEmail(LANCELOT)
  await authenticator.verifies(false)
  await press('Use a passkey', dialog)
  await dialog.getByRole('alert').filter({ hasText: /\w/ }).waitFor()
  t.equal(opened.methods(), undefined)
  await authenticator.verifies(true)
  await press('Use a passkey', dialog)
  await status.getByText(`A mail was sent to ${LANCELOT}`).waitFor()
  t.same(opened.methods(), ['passkey'])
  await opened.followMail('emailChange')
  t.match(await built.app.users.getByEmail(LANCELOT), { is_verified: true })
  await go('/account')
  await page.getByText(`You are ${LANCELOT}`).waitFor()
  t.equal(await page.getByRole('button', { name: 'Send a mail' }).isVisible(), false)
  t.ok(faults.every((fault) => /^40[013]$/.test(fault)), faults.join())
})

t.test('USR-09: a user downloads the data, deletes the account and keeps it, each after a confirmation', { skip: skipWithoutChromium() }, async (t) => {
  const opened = await open(t)
  const { built, clock, page, dialog, status, go, press, faults } = opened
  await logIn(opened)
  clock.tick(STALE)
  const waiting = page.waitForEvent('download')
  await press('Download your data')
  await dialog.getByLabel('Password').fill(PASSWORD)
  await press('Confirm', dialog)
  const download = await waiting
  t.equal(download.suggestedFilename(), 'account.json')
  const data = JSON.parse(readFileSync(await download.path(), 'utf8')) as object
  t.match(data, { user: { email: ARTHUR }, sessions: [{ methods: ['password'] }], features: { passkeys: {} } })
  await status.getByText('account.json').waitFor()

  clock.tick(STALE)
  await press('Delete your account')
  t.equal(await dialog.count(), 0, 'the browser asks to check the box')
  await page.getByLabel('I want to delete my account').check()
  await press('Delete your account')
  await dialog.getByLabel('Password').waitFor()
  t.match(await built.app.users.getByEmail(ARTHUR), { is_active: true })
  await dialog.getByLabel('Password').fill(PASSWORD)
  await press('Confirm', dialog)
  await status.getByText('Your account is closed, and will be deleted on').waitFor()
  t.equal(await overflowOf(page), 0)
  t.match(await built.app.users.getByEmail(ARTHUR), { is_active: false })
  await page.getByRole('link', { name: 'Log in with a password' }).click()
  await enterPassword(opened)
  await page.locator('output').filter({ hasText: /\w/ }).waitFor()
  t.equal((await built.login('jwt', ARTHUR)).statusCode, 400, 'nobody logs in to a closed account')

  await opened.followMail('accountDeletionRequested')
  t.match(await built.app.users.getByEmail(ARTHUR), { is_active: true })
  await logIn(opened)
  await press('Log out')
  await page.getByText('You are logged out.').waitFor()
  await go('/account')
  await page.getByText('You are not logged in.').waitFor()
  t.ok(faults.every((fault) => /^40[013]$/.test(fault)), faults.join())
})

t.test('a page whose script is blocked sends its form to no URL', { skip: skipWithoutChromium() }, async (t) => {
  const { page, go } = await open(t)
  await page.route('**/*.js', async (route) => { await route.abort() })
  for (const path of ['/login', '/reset-password', '/authenticator-app']) {
    await go(path)
    const { pathname, href } = new URL(page.url())
    for (const input of await page.locator('input:visible').all()) await input.fill(ARTHUR)
    const isForm = (request: Request): boolean => new URL(request.url()).pathname === pathname
    const sent = page.waitForRequest(isForm).then((request) => request.url())
    const refused = page.waitForEvent('console', (message) => message.text().includes('form-action')).then(() => href)
    // the click of Playwright would wait for the page after the form
    await page.getByRole('button').evaluate((button) => { (button as HTMLButtonElement).click() })
    for (const event of [sent, refused]) event.catch(() => {}) // only one of them happens
    t.equal(await Promise.race([sent, refused]), href, path)
    t.equal(page.url(), href, 'no value is in the URL')
  }
})

t.test('a user who has a passkey and recovery codes adds an authenticator app and keeps the codes', { skip: skipWithoutChromium() }, async (t) => {
  const opened = await open(t)
  const { clock, page, dialog, go, press, faults } = opened
  await logIn(opened)
  await go('/passkeys')
  await press('Add a passkey')
  await page.locator('#passkeys li').waitFor()
  await go('/authenticator-app')
  await press('Continue')
  await press('Use a passkey', dialog)
  const image = page.locator('img')
  await image.waitFor()
  const created = await page.evaluate("fetch('/users/me/recovery-codes', { method: 'POST' }).then((reply) => reply.status)")
  t.equal(created, 201)
  const secret = new URL(await image.getAttribute('alt') ?? '').searchParams.get('secret') ?? ''
  await page.getByLabel('Code of your app').fill(oneTimePassword(secret, clock()))
  await press('Continue')
  await page.getByText('The app is active. Your recovery codes are still valid.').waitFor()
  const remaining = await page.evaluate("fetch('/users/me/recovery-codes').then((reply) => reply.json())")
  t.match(remaining, { remaining: 10 })
  t.same(faults, ['401', '403'], 'the browser reports only the confirmation')
})

t.test('the screenshot is small', async (t) => {
  t.ok(statSync(PICTURE).size < 100_000)
})
