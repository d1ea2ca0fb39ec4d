import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { addPasskeyPage } from '../examples/basic/passkey-page.js'
import { addStepUpScript } from '../examples/basic/step-up.js'
import { passkeys } from '../lib/features/passkeys/index.js'
import { ARTHUR, buildApp, PASSWORD, type TestApp } from './helpers/build-app.js'
import { openPage, skipWithoutChromium, type OpenedPage } from './helpers/chromium.js'
import { freePort } from './helpers/free-port.js'
import { root } from './helpers/root.js'
import { addAuthenticator, type VirtualAuthenticator } from './helpers/virtual-authenticator.js'

const LANCELOT = 'lancelot@camelot.bt'
const PICTURES = ['passkeys-login.png', 'passkeys-list.png'] as const

interface Opened extends OpenedPage {
  built: TestApp
  origin: string
  authenticator: VirtualAuthenticator
  /** Clicks a button of the page, and the user of the authenticator answers. */
  press(name: string): Promise<void>
}

/** Starts the application on localhost, where browsers create passkeys without https. */
async function open (t: Test): Promise<Opened> {
  const port = await freePort() // `publicUrl` has it before the application listens
  const origin = `http://localhost:${port}`
  const features = [passkeys({ rpName: 'Camelot', signUp: true })]
  const built = await buildApp(t, { publicUrl: origin, features }, (app) => {
    addStepUpScript(app)
    addPasskeyPage(app)
  })
  await built.app.listen({ host: 'localhost', port })
  await built.create({ is_verified: true })
  const opened = await openPage(t, { width: 720, height: 560 })
  const { page, context } = opened
  const authenticator = await addAuthenticator(opened)
  // a ceremony that waits for the input would answer before those that the buttons begin
  await context.addInitScript(() => {
    if (location.search !== '?conditional') PublicKeyCredential.isConditionalMediationAvailable = async () => false
  })
  await page.goto(`${origin}/passkeys`)
  await page.locator('#visitor').waitFor()
  return {
    ...opened,
    built,
    origin,
    authenticator,
    async press (name) {
      await authenticator.answers(true)
      await page.getByRole('button', { name, exact: true }).click()
    }
  }
}

/** Saves a picture for the documentation if UPDATE_SCREENSHOT is 1. */
async function take (page: Page, name: (typeof PICTURES)[number]): Promise<void> {
  if (process.env['UPDATE_SCREENSHOT'] === '1') await page.screenshot({ path: join(root, 'docs', name) })
}

t.test('passkeys of a real browser', { skip: skipWithoutChromium() }, async (t) => {
  const { built, origin, page, faults, authenticator, press } = await open(t)
  const user = page.locator('#user')
  const email = page.locator('#email')
  const message = page.locator('#message')
  const lastLogin = (): unknown => built.events.findLast(({ name }) => name === 'onAfterLogin')
  const logOut = async (): Promise<void> => {
    await authenticator.answers(false)
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.locator('#visitor').waitFor()
  }
  const enter = async (): Promise<void> => {
    await page.getByLabel('E-mail').fill(ARTHUR)
    await page.getByLabel('Password').fill(PASSWORD)
  }

  await t.test('a user logs in with a password and adds a passkey', async (t) => {
    await take(page, 'passkeys-login.png')
    await enter()
    await press('Log in')
    await user.waitFor()
    t.equal(await email.innerText(), ARTHUR)
    await press('Add a passkey')
    await page.locator('#passkeys li').waitFor()
    t.equal(await authenticator.count(), 1)
    t.equal(await message.innerText(), '')
    await take(page, 'passkeys-list.png')
  })

  await t.test('the browser creates no second passkey on the same authenticator', async (t) => {
    await press('Add a passkey')
    await message.filter({ hasText: /\w/ }).waitFor()
    t.equal(await page.locator('#passkeys li').count(), 1)
    await logOut()
  })

  await t.test('the passkey alone logs the user in', async (t) => {
    await press('Log in with a passkey')
    await user.waitFor()
    t.equal(await email.innerText(), ARTHUR)
    t.match(lastLogin(), { method: 'passkey', session: { methods: ['passkey'] } })
    await logOut()
  })

  await t.test('conditional UI logs the user in without a click on the page', async (t) => {
    await authenticator.answers(true)
    await page.goto(`${origin}/passkeys?conditional`)
    await user.waitFor()
    t.equal(await email.innerText(), ARTHUR)
    await logOut()
    await page.goto(`${origin}/passkeys`)
    await page.locator('#visitor').waitFor()
  })

  await t.test('the passkey is the second factor after the password', async (t) => {
    await enter()
    await press('Log in')
    await user.waitFor()
    t.match(lastLogin(), { method: 'password', session: { methods: ['password', 'passkey'] } })
    await logOut()
  })

  await t.test('a person registers with a passkey and no password', async (t) => {
    await authenticator.clear()
    await page.getByLabel('E-mail').fill(LANCELOT)
    await press('Register with a passkey')
    await user.waitFor()
    t.equal(await email.innerText(), LANCELOT)
    t.equal(await authenticator.count(), 1)
    await press('Delete')
    await page.getByText('The passkey is the only way to log in').waitFor()
    t.equal(await page.locator('#passkeys li').count(), 1)
  })
  t.ok(faults.every((fault) => /^40[013]$/.test(fault)), `the browser reports only refused requests: ${faults.join()}`)
})

t.test('the screenshots are small', async (t) => {
  for (const name of PICTURES) t.ok(statSync(join(root, 'docs', name)).size < 200_000, name)
})
