import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import type { BrowserContext, Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { buildPackage } from './helpers/build-package.js'
import { oneTimePassword } from './helpers/one-time-password.js'
import { root } from './helpers/root.js'
import { PASSWORD, SECRET } from './helpers/build-app.js'
import { openPage, skipWithoutChromium, type OpenedPage } from './helpers/chromium.js'

type BuildApp = (options: {
  file: string
  secret: string
  sendMail: (mail: { token: string }) => void
  mail: 'console'
}) => Promise<FastifyInstance>

const ARTHUR = 'king.arthur@camelot.bt'
const SCREENSHOT = join(root, 'docs/api-page.png')
const EMAIL_SCREENSHOT = join(root, 'docs/email-login.png')
const APP_SCREENSHOT = join(root, 'docs/authenticator-app.png')

t.test('on the API page of the example application', { skip: skipWithoutChromium() }, async (t) => {
  const folder = t.testdir()
  buildPackage(folder)
  const { buildApp } = (await import(pathToFileURL(join(folder, 'examples/basic/app.js')).href)) as {
    buildApp: BuildApp
  }
  const tokens: string[] = []
  const app = await buildApp({
    file: join(folder, 'users.db'),
    secret: SECRET,
    sendMail: ({ token }) => tokens.push(token),
    mail: 'console'
  })
  t.teardown(() => app.close())
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  await app.users.create({ email: ARTHUR, password: PASSWORD, display_name: 'Arthur' } as {
    email: string
    password: string
  })

  await t.test('the token of a login opens guarded routes after it is entered under Authorize', async (t) => {
    const { page, faults } = await openApiPage(t, origin)
    t.match(await callOperation(page, 'get', '/hello'), { status: '401', body: { code: 'FST_USERS_UNAUTHENTICATED' } })
    const {
      status,
      body: { access_token: token }
    } = await logIn(page, 'jwt', { username: ARTHUR, password: PASSWORD })
    t.equal(status, '200')
    await authorize(page, 'jwt', String(token))
    t.strictSame(await callOperation(page, 'get', '/hello'), { status: '200', body: { hello: 'Arthur' } })
    t.match(await callOperation(page, 'get', '/users/me'), {
      status: '200',
      body: { email: ARTHUR, display_name: 'Arthur', credits: 0, is_superuser: false }
    })
    t.match(await callOperation(page, 'get', '/admin'), { status: '403', body: { code: 'FST_USERS_FORBIDDEN' } })
    t.same(faults, ['401', '403'], 'the browser reports only the two refused calls')
  })

  await t.test('the cookie from the login operation opens guarded routes until logout', async (t) => {
    const { page, faults, context } = await openApiPage(t, origin)
    t.equal((await logIn(page, 'cookie', { username: ARTHUR, password: 'wrong-password' })).status, '400')
    t.equal((await logIn(page, 'cookie', { username: ARTHUR, password: PASSWORD })).status, '204')
    t.match(await sessionCookies(context), [
      { name: '__Host-users-cookie', httpOnly: true, secure: true, sameSite: 'Lax', path: '/' }
    ])
    t.equal(await page.evaluate('document.cookie'), '', 'scripts cannot read the cookie')
    t.strictSame(await callOperation(page, 'get', '/hello'), { status: '200', body: { hello: 'Arthur' } })
    t.strictSame(await callOperation(page, 'get', '/feed'), { status: '200', body: { feed: 'for Arthur' } })
    if (process.env.UPDATE_SCREENSHOT === '1') await takeScreenshot(page)
    t.equal((await callOperation(page, 'post', '/auth/cookie/logout')).status, '204')
    t.equal((await callOperation(page, 'get', '/hello')).status, '401')
    t.strictSame(await sessionCookies(context), [])
    t.same(faults, ['400', '401'], 'the browser reports only the two refused calls')
  })

  await t.test('the links in mails lead to pages that change nothing until their button is pressed', async (t) => {
    const { page, faults } = await openPage(t, { width: 360, height: 640 })
    const press = async (expected: string): Promise<void> => {
      await page.locator('button').click()
      await page.locator('output', { hasText: expected }).waitFor()
    }
    await app.users.requestVerify(ARTHUR)
    await app.users.settled()
    await page.goto(`${origin}/verify#${tokens.at(-1) ?? ''}`)
    t.equal((await app.users.getByEmail(ARTHUR))?.is_verified, false, 'the page is open')
    await press('Done.')
    t.equal((await app.users.getByEmail(ARTHUR))?.is_verified, true)

    await page.goto(`${origin}/forgot-password`)
    await page.locator('input').fill(ARTHUR)
    await press('Done.')
    await app.users.settled()
    await page.goto(`${origin}/reset-password#${tokens.at(-1) ?? ''}`)
    await page.locator('input').fill('round-table-2')
    await press('Done.')
    await press('The reset token is')
    await page.goto(`${origin}/login`)
    await page.locator('input[name=username]').fill(ARTHUR)
    await page.locator('input[name=password]').fill('round-table-2')
    await press('Done.')
    t.same(faults, ['400'], 'the browser reports only the second use of the token')
  })

  await t.test('a mailed code logs in the browser that asked, and a link another one after a confirmation', async (t) => {
    const { page, context, faults } = await openPage(t, { width: 560, height: 240 })
    const other = await openPage(t, { width: 560, height: 240 })
    const press = async (on: Page, expected: string): Promise<void> => {
      await on.locator('button').click()
      await on.locator('output', { hasText: expected }).waitFor()
    }
    const ask = async (): Promise<{ code: string; token: string }> => {
      await page.goto(`${origin}/email`)
      await page.locator('input').fill(ARTHUR)
      await page.locator('button').click()
      await page.locator('input[name=code]').waitFor()
      await app.users.settled()
      const box = await context.newPage()
      await box.goto(`${origin}/dev/mail`)
      await box.getByRole('link', { name: 'Log in to' }).first().click()
      const text = await box.locator('pre').innerText()
      await box.close()
      const [, code = ''] = /: (\S{4}-\S{4})\n/.exec(text) ?? []
      const [, token = ''] = /\/email-login#(\S{43})/.exec(text) ?? []
      return { code, token }
    }
    const namesOf = async (opened: OpenedPage): Promise<string[]> =>
      (await opened.context.cookies()).map(({ name }) => name).sort()

    const { token } = await ask()
    await other.page.goto(`${origin}/email-login#${token}`)
    await press(other.page, `asked to log in as ${ARTHUR}`)
    if (process.env.UPDATE_SCREENSHOT === '1') await other.page.screenshot({ path: EMAIL_SCREENSHOT })
    t.same(await namesOf(other), [])
    await press(other.page, 'Done.')
    t.ok((await namesOf(other)).includes('__Host-users-cookie'))
    t.same(await namesOf({ page, context, faults }), ['__Host-users-email-login'], 'the browser that asked is not logged in')

    const { code } = await ask()
    await page.locator('input').fill(code.toLowerCase())
    await press(page, 'Done.')
    t.ok((await namesOf({ page, context, faults })).includes('__Host-users-cookie'))
    t.same([faults, other.faults], [[], ['409']], 'the browsers report only the request for a confirmation')
  })

  await t.test('a user adds an authenticator app with its QR code, and logs in with a code', async (t) => {
    const { page, faults } = await openPage(t, { width: 420, height: 560 })
    const logIn = async (): Promise<void> => {
      await page.goto(`${origin}/login`)
      await page.locator('input[name=username]').fill(ARTHUR)
      await page.locator('input[name=password]').fill('round-table-2')
      await page.locator('button').click()
    }
    await logIn()
    await page.locator('output', { hasText: 'Done.' }).waitFor()
    await page.goto(`${origin}/authenticator-app`)
    await page.locator('button').click()
    const image = page.locator('img')
    await image.waitFor()
    const isShown = "(async (image) => { await image.decode(); return image.naturalWidth > 0 })(document.querySelector('img'))"
    t.equal(await page.evaluate(isShown), true, 'the QR code is shown')
    const url = new URL(await image.getAttribute('alt') ?? '')
    t.match(url.href, /^otpauth:\/\/totp\/Camelot:/)
    const secret = url.searchParams.get('secret') ?? ''
    if (process.env.UPDATE_SCREENSHOT === '1') await page.screenshot({ path: APP_SCREENSHOT })
    await page.locator('input[name=code]').fill(oneTimePassword(secret, Date.now()))
    await page.locator('button').click()
    const shown = page.locator('output', { hasText: 'Keep these recovery codes' })
    await shown.waitFor()
    const [recoveryCode = '', ...more] = (await shown.innerText()).split(' ').slice(4)
    t.equal(more.length, 9)

    await logIn()
    await page.locator('input[name=code]').fill(oneTimePassword(secret, Date.now() + 30_000)) // a later code than the first
    await page.locator('button').click()
    await page.locator('output', { hasText: 'Done.' }).waitFor()
    const remaining = await page.evaluate("fetch('/users/me/recovery-codes').then((reply) => reply.json())")
    t.match(remaining, { remaining: 10 })
    t.match(recoveryCode, /^[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/)
    t.same(faults, ['403'], 'the browser reports only the pending login')
  })
})

t.test('the screenshots are small', async (t) => {
  t.ok(statSync(SCREENSHOT).size < 300_000)
  t.ok(statSync(APP_SCREENSHOT).size < 100_000)
  t.ok(statSync(EMAIL_SCREENSHOT).size < 100_000)
})

/** Returns the cookies of a browser, without the one that recognizes its device, which outlives sessions. */
async function sessionCookies (context: BrowserContext): Promise<{ name: string }[]> {
  return (await context.cookies()).filter(({ name }) => !name.endsWith('-device'))
}

/** Opens the API page in a new browser. Records requests to other origins as faults. */
async function openApiPage (t: Test, origin: string): Promise<OpenedPage> {
  const opened = await openPage(t, { width: 1280, height: 1000 })
  const { page, faults } = opened
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin && !request.url().startsWith('data:')) faults.push(request.url())
  })
  const reply = await page.goto(`${origin}/docs`)
  t.match(reply?.headers()['content-security-policy'], /default-src 'none'; script-src 'self'; style-src 'self';/)
  await page.locator('.opblock').first().waitFor()
  return opened
}

interface ShownReply {
  status: string
  body: Record<string, unknown>
}

/** Opens an operation and clicks "Try it out". */
async function openOperation (page: Page, method: string, path: string): Promise<Locator> {
  const block = page.locator(`.opblock-${method}`, { has: page.locator(`[data-path="${path}"]`) })
  if (!(await block.locator('.opblock-body').isVisible())) {
    await block.locator('.opblock-summary-control').click()
    await block.getByRole('button', { name: 'Try it out' }).click()
  }
  return block
}

/** Executes an open operation. Returns the reply that the page shows. */
async function executeOperation (block: Locator): Promise<ShownReply> {
  if (await block.getByRole('button', { name: 'Clear' }).isVisible()) {
    await block.getByRole('button', { name: 'Clear' }).click()
  }
  await block.getByRole('button', { name: 'Execute' }).click()
  const live = block.locator('.live-responses-table')
  await live.waitFor()
  const status = (await live.locator('.response-col_status').last().innerText()).split('\n')[0] ?? ''
  const shown = live.locator('.response-col_description > div', { hasText: 'Response body' }).locator('code')
  return {
    status,
    body: (await shown.count()) === 0 ? {} : (JSON.parse(await shown.innerText()) as Record<string, unknown>)
  }
}

async function callOperation (page: Page, method: string, path: string): Promise<ShownReply> {
  return await executeOperation(await openOperation(page, method, path))
}

async function logIn (page: Page, backend: string, fields: Record<string, string>): Promise<ShownReply> {
  const block = await openOperation(page, 'post', `/auth/${backend}/login`)
  for (const [name, value] of Object.entries(fields)) {
    await block.locator(`tr[data-property-name="${name}"] input`).first().fill(value)
  }
  return await executeOperation(block)
}

/** Pastes a token into the Authorize dialog. */
async function authorize (page: Page, scheme: string, token: string): Promise<void> {
  await page.locator('.auth-wrapper > .authorize').click()
  const dialog = page.locator('.modal-ux')
  const form = dialog.locator('.auth-container', { hasText: scheme })
  await form.locator('input').fill(token)
  await form.getByRole('button', { name: 'Apply credentials' }).click()
  await form.getByRole('button', { name: 'Close' }).click()
}

/** Takes the screenshot for the README, with the reply of one operation. */
async function takeScreenshot (page: Page): Promise<void> {
  await page.setViewportSize({ width: 1280, height: 1150 })
  await page.reload()
  await callOperation(page, 'get', '/hello')
  await page.locator('#operations-tag-users').evaluate((heading: { scrollIntoView: () => void }) => {
    heading.scrollIntoView()
  })
  mkdirSync(join(root, 'docs'), { recursive: true })
  await page.screenshot({ path: SCREENSHOT })
}
